#pragma once
// An agent against a controller over real TLS, for tests of what the two say to each other.

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/agent/agent.h"
#include "proto/codec.h"
#include "tests/unit/node/agent_fakes.h"
#include "tests/unit/node/agent_states.h"
#include "tests/unit/node/link_fake_controller.h"
#include "tests/unit/node/link_pki.h"
#include "tests/unit/node/link_temporary.h"

namespace cordon::node::test {

using std::chrono::milliseconds;

/// Only kernel and tunnel are fakes; the controller is a script at the other end of real TLS.
class AgentRig : public ::testing::Test {
 protected:
  AgentRig() {
    limits.connect = limits.answer = milliseconds(5000);
    limits.backoff = {
        .quick_tries = 1, .quick = milliseconds(10), .least = milliseconds(10), .most = milliseconds(40)};
  }

  void enrolled(std::chrono::hours life = std::chrono::hours(24),
                std::chrono::hours age = std::chrono::hours(0)) {
    const Keys keys = store.load_or_make_keys().value();
    const std::string csr = crypto::make_csr(keys.device, "trader").value();
    ASSERT_TRUE(store.save({.device = DeviceId{"trader"},
                            .certificate_pem = pki.device(csr, "trader", life, age),
                            .trust_pem = pki.root_pem}));
  }

  void serve(FakeController::Script script) {
    controller.emplace(pki.chain(), pki.server_key.to_pem(), pki.root_pem, std::move(script));
  }

  void run_agent() {
    config.controllers.insert(config.controllers.begin(), controller->endpoint());
    config.run_directory = directory.path();
    if (!config.people_uids) config.people_uids = {{.first = ::getuid(), .last = ::getuid()}};
    if (config.interface.empty()) config.interface = "cdn-cordon";
    auto opened =
        Agent::open({.io = io,
                     .config = config,
                     .store = store,
                     .filter = filter,
                     .tunnel = tunnel,
                     .network = used_network ? *used_network : network,
                     .clock = system_clock(),
                     .uniform = [] { return 0.5; },
                     .limits = limits,
                     .boot_id = "boot",
                     .people = PeopleWatch(directory.path() / "login.defs", directory.path() / "subuid")});
    ASSERT_TRUE(opened) << opened.error().message();
    agent = std::move(*opened);
    const auto started = agent->start();
    ASSERT_TRUE(started) << started.error().message();
  }

  /// What the controller's thread uses of the test isn't used any more when this returns.
  void finish() {
    agent->stop();
    controller.reset();
  }

  template <class Condition>
  bool until(Condition condition, milliseconds limit = milliseconds(10'000)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition() && std::chrono::steady_clock::now() < end) {
      io.run_for(milliseconds(5));
      io.restart();
    }
    return condition();
  }

  /// Takes the Hello and welcomes the node, as a controller with these features.
  bool welcome(FakeLink& link, std::uint64_t revision = 1,
               std::initializer_list<std::string_view> features = {}) {
    const auto hello = link.read();
    if (!hello || !hello->has_hello()) return false;
    last_hello = hello->hello();
    wire::ToNode out;
    auto& body = *out.mutable_welcome();
    body.set_controller("controller-1");
    for (const std::string_view feature : features) body.add_features(std::string(feature));
    body.set_echo_boot_ns(hello->hello().sent_boot_ns());
    body.set_controller_time_us(to_us(system_clock().now()));
    body.set_heartbeat_interval_ms(500);
    *body.mutable_head() = pki.head(revision);
    return link.send(out);
  }

  void send_state(FakeLink& link, const policy::NodeState& state, std::uint64_t sequence,
                  std::uint64_t revision) {
    wire::ToNode out;
    out.mutable_begin()->set_sequence(sequence);
    out.mutable_begin()->set_revision(revision);
    *out.mutable_begin()->mutable_head() = pki.head(revision);
    link.send(out);
    out.mutable_part()->set_sequence(sequence);
    for (const auto& [key, value] : state.entries) {
      *out.mutable_part()->add_entries() = wire::encode_entry(key, &value);
      if (static_cast<std::size_t>(out.part().entries_size()) < wire::kPartEntries) continue;
      link.send(out);
      out.mutable_part()->clear_entries();
    }
    link.send(out);
    out.mutable_end()->set_sequence(sequence);
    const Sha256 digest = policy::digest(state).value();
    out.mutable_end()->set_digest(digest.data(), digest.size());
    link.send(out);
  }

  void answer_heartbeat(FakeLink& link, const wire::Heartbeat& heartbeat, std::uint64_t revision) {
    wire::ToNode out;
    out.mutable_heartbeat()->set_echo_boot_ns(heartbeat.sent_boot_ns());
    out.mutable_heartbeat()->set_controller_time_us(to_us(system_clock().now()));
    out.mutable_heartbeat()->set_confirm(true);
    *out.mutable_heartbeat()->mutable_head() = pki.head(revision);
    link.send(out);
  }

  /// One request over the local socket, from a thread of its own; the answer's line.
  std::string ask(const std::string& line) {
    std::atomic<bool> done = false;
    std::string answer;
    std::thread caller([&] {
      const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_un to{};
      to.sun_family = AF_UNIX;
      (directory.path() / "node.sock").string().copy(to.sun_path, sizeof to.sun_path - 1);
      char byte = 0;
      if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0 &&
          ::send(fd, line.data(), line.size(), MSG_NOSIGNAL) > 0)
        while (::recv(fd, &byte, 1, 0) == 1 && byte != '\n') answer += byte;
      ::close(fd);
      done = true;
    });
    until([&] { return done.load(); }, milliseconds(40'000));
    caller.join();
    return answer;
  }

  Pki pki;
  TemporaryDirectory directory;
  IdentityStore store{directory.path()};
  Steps steps;
  FakeFilter filter{steps};
  FakeTunnel tunnel{steps};
  FakeNetwork network{steps};
  Network* used_network = nullptr;  ///< in place of the fake
  NodeConfig config;
  SessionLimits limits;
  boost::asio::io_context io;
  wire::Hello last_hello;
  std::optional<FakeController> controller;
  std::unique_ptr<Agent> agent;
};

}  // namespace cordon::node::test
