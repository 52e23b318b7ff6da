#include "node/link/enrol.h"

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <iostream>

#include "base/log.h"
#include "node/link/connection.h"
#include "node/link/verify.h"
#include "proto/cordon.pb.h"
#include "proto/features.h"
#include "proto/receipt.h"

namespace cordon::node {
namespace {

namespace asio = boost::asio;
constexpr std::size_t kMaxTokenBytes = 4096;
constexpr std::uint32_t kMostPollSeconds = 300;

/// Checks who answers, after the handshake and before the first message; gives the roots to trust.
using Pin = std::function<Result<std::string>(SSL*)>;

struct Answer {
  wire::EnrolAnswer message;
  std::string roots_pem;
};

asio::awaitable<Result<Answer>> ask(asio::io_context& io, TlsContext context, Endpoint controller,
                                    std::chrono::milliseconds limit, Pin pin,
                                    const wire::ToController& question) {
  auto connection = std::make_shared<Connection>(io, std::move(context));
  auto opened = co_await connection->open(controller, limit);
  if (!opened) co_return std::unexpected(opened.error());
  auto roots = pin(connection->native());
  if (!roots) {
    connection->close();
    co_return std::unexpected(roots.error());
  }
  connection->send(question);
  auto message = co_await connection->read(limit);
  connection->close();
  if (!message) co_return std::unexpected(message.error());
  if (message->body_case() == wire::ToNode::kBusy)
    co_return fail(ErrorCode::unavailable, "the controller is busy", "try again in a minute");
  if (message->body_case() == wire::ToNode::kGoodbye)
    co_return fail(ErrorCode::unavailable, "the controller refused: " + message->goodbye().reason());
  if (message->body_case() != wire::ToNode::kEnrolled)
    co_return fail(ErrorCode::protocol, "the controller answered out of turn");
  co_return Answer{.message = message->enrolled(), .roots_pem = std::move(*roots)};
}

/// Asks one controller after the other; the first that answers decides. A pin that fails ends it: whoever is
/// there, we don't go on shopping for someone who takes the token.
Result<Answer> ask_any(const EnrolRequestFacts& facts,
                       const std::function<Result<TlsContext>()>& make_context, const Pin& pin,
                       const wire::ToController& question) {
  Error last{.code = ErrorCode::invalid, .what = "no controllers", .hint = "name them in node.toml"};
  for (const Endpoint& controller : facts.controllers) {
    CORDON_ASSIGN(auto context, make_context());
    asio::io_context io;
    std::optional<Result<Answer>> answer;
    asio::co_spawn(io, ask(io, context, controller, facts.limit, pin, question),
                   [&](std::exception_ptr failed, Result<Answer> result) {
                     if (failed)
                       answer = fail(ErrorCode::internal, "asking the controller failed");
                     else
                       answer = std::move(result);
                   });
    io.run();
    if (*answer) return std::move(**answer);
    last = in_context(answer->error(), "asking " + controller.to_string());
    if (last.code != ErrorCode::unavailable) break;
  }
  return std::unexpected(last);
}

Result<PollAnswer> take(const Answer& answer, Identity identity, const Keys& keys, const IdentityStore& store,
                        const Clock& clock) {
  using wire::EnrolAnswer;
  const EnrolAnswer& message = answer.message;
  if (message.outcome() == EnrolAnswer::REFUSED)
    return fail(ErrorCode::forbidden, "the controller refused: " + message.reason());
  if (!message.device().empty()) identity.device = DeviceId{message.device()};
  if (identity.device.value.empty() || identity.device.value.size() > 63)
    return fail(ErrorCode::protocol, "the controller's answer names no device");
  identity.trust_pem = answer.roots_pem;
  identity.pending = message.outcome() == EnrolAnswer::PENDING;
  if (!identity.pending) {
    auto named = check_certificate(message.certificate_pem(), answer.roots_pem, keys.device, identity.device,
                                   clock.now());
    if (!named)
      return std::unexpected(in_context(named.error(), "checking the certificate from the controller"));
    identity.certificate_pem = message.certificate_pem();
    // The bundle may hold more roots than the pinned one (a rotation); it came over the pinned connection.
    if (!message.trust_bundle_pem().empty()) {
      CORDON_TRY(check_certificate(message.certificate_pem(), message.trust_bundle_pem(), keys.device,
                                   identity.device, clock.now()));
      identity.trust_pem = message.trust_bundle_pem();
    }
  }
  CORDON_TRY(store.save(identity));
  const Seconds wait{std::clamp<std::uint32_t>(message.poll_after_s(), 1, kMostPollSeconds)};
  return PollAnswer{.identity = std::move(identity), .ask_again = wait};
}

}  // namespace

Result<DeviceId> check_certificate(std::string_view chain_pem, std::string_view roots_pem,
                                   const crypto::PrivateKey& key, const DeviceId& device, Timestamp now) {
  CORDON_ASSIGN(const auto leaf, verify_chain(chain_pem, roots_pem, now));
  if (leaf.public_key_der != key.public_key_der())
    return fail(ErrorCode::protocol, "the certificate is for another key");
  for (const std::string& uri : leaf.uris) {
    const auto at = uri.rfind("/device/");
    if (!uri.starts_with("spiffe://") || at == std::string::npos) continue;
    const DeviceId named{uri.substr(at + 8)};
    if (device.value.empty() || named == device) return named;
  }
  return fail(ErrorCode::protocol, "the certificate is not for device \"" + device.value + "\"");
}

Result<Identity> enrol(const EnrolRequestFacts& facts, const wire::JoinTokenText& token,
                       const IdentityStore& store, const Clock& clock) {
  CORDON_ASSIGN(const auto existing, store.load());
  if (existing)
    return fail(ErrorCode::conflict,
                "this machine is enrolled already, as \"" + existing->device.value + "\"",
                "to enrol it anew, remove " + (store.directory() / "identity.json").string() + " first");
  CORDON_ASSIGN(const auto keys, store.load_or_make_keys());
  wire::ToController question;
  auto& request = *question.mutable_enrol();
  request.set_token_id(token.id.value);
  request.set_token_secret(token.secret.data(), token.secret.size());
  request.set_name(facts.name);
  CORDON_ASSIGN(*request.mutable_csr_pem(), crypto::make_csr(keys.device, facts.name));
  const WireguardKey public_key = crypto::wireguard_public(keys.wireguard);
  request.set_wireguard_public_key(public_key.data(), public_key.size());
  request.set_platform(facts.platform);
  for (const std::string_view feature : wire::kFeatures) request.add_features(std::string(feature));
  const Pin pin = [&](SSL* ssl) {
    return pinned_root(presented_chain(ssl), token.ca_fingerprint, clock.now());
  };
  CORDON_ASSIGN(const auto answer, ask_any(facts, &pinning_context, pin, question));
  CORDON_ASSIGN(auto taken, take(answer, Identity{}, keys, store, clock));
  return std::move(taken.identity);
}

Result<PollAnswer> poll_enrolment(const EnrolRequestFacts& facts, const IdentityStore& store,
                                  const Clock& clock) {
  CORDON_ASSIGN(auto identity, store.load());
  if (!identity)
    return fail(ErrorCode::not_found, "this machine is not enrolled",
                "run: cordon-node enrol --token-file FILE");
  if (!identity->pending) return PollAnswer{.identity = std::move(*identity)};
  CORDON_ASSIGN(const auto keys, store.load_keys());
  wire::ToController question;
  auto& poll = *question.mutable_enrol_poll();
  const Timestamp now = clock.now();
  const Bytes public_key = keys.device.public_key_der();
  const Bytes signature = keys.device.sign(wire::enrol_poll_text(identity->device, now));
  poll.set_device(identity->device.value);
  poll.set_public_key_der(public_key.data(), public_key.size());
  poll.set_at_us(to_us(now));
  poll.set_signature(signature.data(), signature.size());
  const std::string roots = identity->trust_pem;
  const Pin pin = [&roots](SSL* ssl) -> Result<std::string> {
    CORDON_ASSIGN(const auto leaf, crypto::parse_certificate(presented_leaf_pem(ssl)));
    if (trust_domain(leaf, "controller").empty())
      return fail(ErrorCode::unauthorized, "what answered is no controller",
                  "check the controller's address");
    return roots;
  };
  const auto make_context = [&roots] { return anonymous_context(roots); };
  CORDON_ASSIGN(const auto answer, ask_any(facts, make_context, pin, question));
  return take(answer, std::move(*identity), keys, store, clock);
}

Result<wire::JoinTokenText> read_join_token(const std::filesystem::path& path) {
  std::string text;
  if (path == "-") {
    text.resize(kMaxTokenBytes);
    std::cin.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(std::cin.gcount()));
  } else {
    CORDON_ASSIGN(text, read_secret_file(path));
  }
  const auto first = text.find_first_not_of(" \t\r\n");
  const auto last = text.find_last_not_of(" \t\r\n");
  if (first == std::string::npos)
    return fail(ErrorCode::invalid, "no join token was given",
                "make one on the controller: cordon token create");
  return wire::parse_join_token(std::string_view(text).substr(first, last - first + 1));
}

}  // namespace cordon::node
