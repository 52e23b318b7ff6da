#pragma once
// A controller's API and identity for real (UNIX socket and TLS on loopback, log in memory, secrets in a
// temporary directory) on a thread of its own; nodes are told by the test.

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstring>
#include <future>
#include <thread>

#include "controller/api/api.h"
#include "controller/core/change_log_writer.h"
#include "controller/core/config.h"
#include "controller/core/metrics.h"
#include "controller/core/services.h"
#include "controller/distribution/distribution.h"
#include "controller/flows/flow_store.h"
#include "controller/identity/local_identity.h"
#include "controller/pki/authority.h"
#include "tests/support/log_fixture.h"
#include "tests/support/memory_log_store.h"
#include "tests/support/temp_dir.h"

namespace cordon::test {

class FakeDistribution final : public controller::Distribution {
 public:
  std::vector<controller::NodeStatus> nodes() const override { return known; }
  std::vector<controller::ReceiptStatus> receipts(Revision) const override { return given; }
  void wait_for(Revision, Seconds,
                std::function<void(std::vector<controller::ReceiptStatus>)> done) override {
    done(given);
  }
  std::vector<controller::NodeStatus> known;
  std::vector<controller::ReceiptStatus> given;
};

struct Answer {
  unsigned status = 0;
  std::string head, body;
  boost::json::object json() const {
    boost::json::error_code error;
    boost::json::value value = boost::json::parse(body, error);
    return value.is_object() ? value.get_object() : boost::json::object{};
  }
  std::string text(std::string_view member) const {
    const boost::json::object object = json();
    const boost::json::value* value = object.if_contains(member);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
  }
};

/// "HTTP/1.1 200 OK..." as it came over a connection that was closed after it.
inline Answer parse_answer(const std::string& raw) {
  Answer answer;
  const std::size_t end = raw.find("\r\n\r\n");
  if (raw.size() < 12 || end == std::string::npos) return answer;
  answer.status = static_cast<unsigned>(std::stoul(raw.substr(9, 3)));
  answer.head = raw.substr(0, end);
  std::string_view rest = std::string_view(raw).substr(end + 4);
  if (answer.head.find("chunked") == std::string::npos) {
    answer.body = rest;
    return answer;
  }
  while (!rest.empty()) {
    const std::size_t size = std::stoul(std::string(rest.substr(0, rest.find('\r'))), nullptr, 16);
    rest.remove_prefix(rest.find('\n') + 1);
    answer.body += rest.substr(0, size);
    rest.remove_prefix(std::min(size + 2, rest.size()));
    if (size == 0) break;
  }
  return answer;
}

inline std::string http_request(const std::string& method, const std::string& target, const std::string& body,
                                const std::string& token = {}) {
  std::string out = method + " " + target + " HTTP/1.1\r\nHost: controller\r\nConnection: close\r\n";
  if (!token.empty()) out += "Authorization: Bearer " + token + "\r\n";
  if (!body.empty())
    out += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  return out + "\r\n" + body;
}

class ApiRig {
 public:
  ApiRig() {
    config.name = "c1";
    config.trust_domain = "acme.example";
    config.run_directory = dir_.path();
    config.listen_api = must(Endpoint::parse("127.0.0.1:0"));
    secrets = must(controller::open_secret_store(dir_ / "secrets.db", dir_ / "data.key"));
    authority = must(controller::open_authority({.trust_domain = "acme.example",
                                                 .controller_name = "c1",
                                                 .dns_names = {"localhost"},
                                                 .ip_addresses = {"127.0.0.1"}},
                                                *secrets, clock.now()));
    flows = must(controller::open_flow_store(dir_ / "flows.db"));
    log = must(controller::make_change_log(
        {.strand = strand_,
         .store = store,
         .signer =
             [this] { return controller::LogSigner{authority->server_key(), authority->server_chain_pem()}; },
         .trust_bundle_pem = authority->trust_bundle_pem(),
         .unseal =
             [this](const SubjectId& id, std::string_view sealed) {
               return controller::open_personal_or_gone(*secrets, id.value, sealed);
             },
         .clock = clock}));
    services = std::make_unique<controller::Services>(controller::Services{.strand = strand_,
                                                                           .io = io_.get_executor(),
                                                                           .pool = io_.get_executor(),
                                                                           .clock = clock,
                                                                           .config = config,
                                                                           .log = *log,
                                                                           .store = store,
                                                                           .secrets = *secrets,
                                                                           .authority = *authority,
                                                                           .flows = *flows,
                                                                           .metrics = metrics,
                                                                           .distribution = &distribution});
    controller::IdentityLimits limits;
    limits.cost = {.operations = 1, .memory_bytes = 8192};
    identity = controller::make_local_identity(
        {.log = *log,
         .secrets = *secrets,
         .clock = clock,
         .count = [this](std::string_view outcome) { metrics.count("logins", outcome); },
         .post = [this](std::function<void()> work) { boost::asio::post(strand_, std::move(work)); }},
        limits);
    services->identity = identity.get();
    thread_ = std::thread([this] { io_.run(); });
    add(installation());
    api = on_strand([&] { return must(controller::start_api(*services)); });
  }

  ~ApiRig() {
    on_strand([&] {
      api->stop();
      return 0;
    });
    identity.reset();
    work_.reset();
    io_.stop();
    thread_.join();
    log.reset();
  }

  template <class F>
  std::invoke_result_t<F> on_strand(F f) {
    std::promise<std::invoke_result_t<F>> promise;
    boost::asio::post(strand_, [&] {
      try {
        promise.set_value(f());
      } catch (...) {
        promise.set_exception(std::current_exception());
      }
    });
    return promise.get_future().get();
  }

  controller::Committed add(const controller::kinds::Kind& kind) {
    std::promise<Result<controller::Committed>> promise;
    boost::asio::post(strand_, [&] {
      log->propose(controller::kinds::encode("root@local", kind),
                   [&](auto result) { promise.set_value(result); });
    });
    return must(promise.get_future().get());
  }

  /// An active device.
  void add_device(const std::string& name) {
    const policy::JoinToken token{.id = TokenId("t-" + name),
                                  .expires_at = clock.now() + std::chrono::hours(1),
                                  .approve = true,
                                  .source = must(Prefix::parse("127.0.0.0/8"))};
    add(controller::kinds::JoinTokenCreated{token});
    controller::kinds::DeviceEnrolled enrolled{
        .device = DeviceId(name),
        .token = token.id,
        .public_key_der = must(crypto::PrivateKey::generate()).public_key_der(),
        .wireguard_key = crypto::wireguard_public(crypto::wireguard_generate())};
    add(enrolled);
  }

  std::string add_user(const std::string& name, const std::string& password) {
    std::promise<Result<std::pair<SubjectId, std::string>>> promise;
    boost::asio::post(strand_, [&] {
      identity->add_user({name, password}, "root@local", [&](auto result) { promise.set_value(result); });
    });
    return must(promise.get_future().get()).first.value;
  }

  /// Sends bytes as they are over the admin socket; what came until it was closed.
  Answer send_raw(const std::string& bytes) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, config.admin_socket().c_str(), sizeof(address.sun_path) - 1);
    std::string raw;
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      for (std::size_t sent = 0; sent < bytes.size();) {
        const ssize_t n = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (n <= 0) break;
        sent += static_cast<std::size_t>(n);
      }
      char buffer[65536];
      for (ssize_t n = 0; (n = ::recv(fd, buffer, sizeof(buffer), 0)) > 0;)
        raw.append(buffer, static_cast<std::size_t>(n));
    }
    ::close(fd);
    return parse_answer(raw);
  }
  Answer call(const std::string& method, const std::string& target, const std::string& body = {}) {
    return send_raw(http_request(method, target, body));
  }

 private:
  TempDir dir_;
  boost::asio::io_context io_;
  boost::asio::strand<boost::asio::io_context::executor_type> strand_{io_.get_executor()};
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_{
      io_.get_executor()};

 public:
  ManualClock clock;
  controller::ControllerConfig config;
  controller::Metrics metrics;
  MemoryLogStore store;
  FakeDistribution distribution;
  std::unique_ptr<controller::SecretStore> secrets;
  std::unique_ptr<controller::Authority> authority;
  std::unique_ptr<controller::FlowStore> flows;
  std::unique_ptr<controller::ChangeLog> log;
  std::unique_ptr<controller::Services> services;
  std::unique_ptr<controller::Identity> identity;
  std::unique_ptr<controller::Api> api;

 private:
  std::thread thread_;
};

}  // namespace cordon::test
