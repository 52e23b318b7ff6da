#include "node/agent/controllers.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crypto.h"
#include "base/files.h"
#include "base/log.h"
#include "node/agent/identity.h"
#include "node/link/verify.h"
#include "proto/codec.h"
#include "proto/cordon.pb.h"
#include "proto/frame.h"
#include "proto/receipt.h"
#include "proto/signer.h"

namespace cordon::node {
namespace {

constexpr std::string_view kControllersArea = "node.link";
constexpr std::size_t kMostControllersBytes = 256u << 10;

bool is_among(const std::vector<Endpoint>& all, const Endpoint& endpoint) {
  return std::ranges::find(all, endpoint) != all.end();
}

/// The endpoints, if a controller that the chain proves as of `at` has signed them.
Result<std::vector<Endpoint>> signed_endpoints(const wire::Controllers& told, const ControllerTrust& trust,
                                               Timestamp at) {
  std::vector<Endpoint> out;
  for (const auto& endpoint : told.endpoints()) {
    CORDON_ASSIGN(out.emplace_back(), wire::decode_endpoint(endpoint));
  }
  CORDON_ASSIGN(const auto signer, wire::verify_signer(told.signer_pem(), trust.roots_pem, at));
  if (!signer.name.starts_with(fmt::format("spiffe://{}/controller/", trust.domain)))
    return fail(ErrorCode::forbidden,
                fmt::format("the controllers' addresses are signed by {}, which is not a "
                            "controller of {}",
                            signer.name, trust.domain));
  if (!crypto::verify(signer.public_key_der, wire::controllers_text(from_us(told.at_us()), out),
                      as_bytes(told.signature())))
    return fail(ErrorCode::unauthorized,
                "the controllers' addresses are not signed by the controller they name");
  return out;
}

/// The file's bytes are frames, as the wire has them: what was told, then over which endpoint.
Result<std::string> file_bytes(const wire::Controllers& told, const Endpoint& through) {
  wire::ToNode message;
  *message.mutable_controllers() = told;
  CORDON_ASSIGN(std::string bytes, wire::frame(message.SerializeAsString()));
  auto& peer = *message.mutable_endpoints()->add_peers();
  peer.set_device("controller");  // the wire wants a name
  wire::encode_endpoint(through, peer.mutable_endpoint());
  CORDON_ASSIGN(const std::string second, wire::frame(message.SerializeAsString()));
  return bytes + second;
}

Result<wire::ToNode> next_message(wire::FrameReader& frames) {
  CORDON_ASSIGN(const auto bytes, frames.next());
  if (!bytes) return fail(ErrorCode::invalid, "it ends too early");
  return wire::decode_to_node(*bytes);
}

}  // namespace

Controllers Controllers::open(std::vector<Endpoint> of_config, const IdentityStore& store) {
  Controllers out(std::move(of_config), store.directory());
  const auto identity = store.load();
  if (!identity || !*identity) return out;  // whoever needs one says so
  const auto certificate = crypto::parse_certificate((*identity)->certificate_pem);
  if (!certificate) return out;
  const std::string domain = trust_domain(*certificate, "device");
  if (const auto loaded = out.load({.roots_pem = (*identity)->trust_pem, .domain = domain}); !loaded)
    log::warning(kControllersArea, "node.toml's controllers it is: {}", loaded.error().message());
  return out;
}

Result<> Controllers::load(const ControllerTrust& trust) {
  std::error_code ec;
  if (!std::filesystem::exists(file_, ec)) return {};
  CORDON_ASSIGN(std::string bytes, read_file(file_, kMostControllersBytes));
  const auto read = [&]() -> Result<Told> {
    wire::FrameReader frames;
    frames.feed(bytes);
    CORDON_ASSIGN(const auto first, next_message(frames));
    CORDON_ASSIGN(const auto second, next_message(frames));
    if (!first.has_controllers() || second.endpoints().peers_size() != 1)
      return fail(ErrorCode::invalid, "an unexpected message");
    // It was in force when it was told; this host may have been off for longer than a certificate lives.
    CORDON_ASSIGN(auto allowed,
                  signed_endpoints(first.controllers(), trust, from_us(first.controllers().at_us())));
    CORDON_ASSIGN(const auto through, wire::decode_endpoint(second.endpoints().peers(0).endpoint()));
    Told told{.allowed = std::move(allowed), .unnamed = {}};
    if (!is_among(told.allowed, through)) told.allowed.push_back(*(told.unnamed = through));
    return told;
  };
  auto told = read();
  if (!told) return std::unexpected(in_context(told.error(), "reading " + file_.string()));
  told_ = std::move(*told);
  return {};
}

Result<> Controllers::take(const wire::Controllers& told, const Endpoint& through,
                           const ControllerTrust& trust, Timestamp now) {
  CORDON_ASSIGN(auto allowed, signed_endpoints(told, trust, now));
  Told next{.allowed = std::move(allowed), .unnamed = {}};
  if (!is_among(next.allowed, through)) next.allowed.push_back(*(next.unnamed = through));
  if (told_ && told_->allowed == next.allowed && told_->unnamed == next.unnamed) return {};
  CORDON_ASSIGN(const std::string bytes, file_bytes(told, through));
  CORDON_TRY(write_file(file_, bytes, 0600));
  told_ = std::move(next);
  return {};
}

std::vector<Endpoint> Controllers::tried(bool isolated) const {
  if (isolated || !told_) return allowed();
  std::vector<Endpoint> out = of_config_;
  for (const Endpoint& endpoint : told_->allowed)
    if (!is_among(out, endpoint)) out.push_back(endpoint);
  return out;
}

std::string Controllers::alarm() const {
  if (!told_ || !told_->unnamed) return {};
  return fmt::format(
      "the controller is reached at {}, which it doesn't name among its addresses (controller.toml, "
      "[advertise] "
      "nodes)",
      told_->unnamed->to_string());
}

void Controllers::forget() {
  std::error_code ignored;
  std::filesystem::remove(file_, ignored);
  told_.reset();
}

}  // namespace cordon::node
