#include "node/agent/commands.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <iostream>
#include <random>
#include <thread>

#include "base/files.h"
#include "base/log.h"
#include "base/state_directory.h"
#include "node/agent/agent.h"
#include "node/agent/config.h"
#include "node/agent/controllers.h"
#include "node/agent/guard_file.h"
#include "node/agent/privileges.h"
#include "node/link/enrol.h"
#include "node/netlink/close_timeout.h"

namespace cordon::node {
namespace {

constexpr std::string_view kCommandsArea = "node";
constexpr int kExitDone = 0, kExitFailed = 1, kExitRefused = 2;

int tell(const Error& error) {
  std::cerr << "cordon-node: " << error.message() << "\n";
  return error.code == ErrorCode::invalid || error.code == ErrorCode::forbidden ? kExitRefused : kExitFailed;
}

std::string platform() {
  utsname name{};
  return ::uname(&name) == 0 ? std::string(name.sysname) + " " + name.release + " " + name.machine
                             : "unknown";
}

std::string mounts() {
  return read_file("/proc/self/mounts").value_or(std::string{});
}

std::string boot_id() {
  std::string id = read_file("/proc/sys/kernel/random/boot_id").value_or(std::string{});
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

/// Uniform numbers in [0, 1) for jitter, seeded differently on every node.
std::function<double()> jitter() {
  return [engine = std::mt19937_64{std::random_device{}()},
          uniform = std::uniform_real_distribution<>{}]() mutable { return uniform(engine); };
}

Result<NodeConfig> prepare(const CommandOptions& options) {
  CORDON_ASSIGN(auto config, load_node_config(options.config));
  if (!options.user.empty()) {
    CORDON_TRY(become_user(
        options.user,
        {.state = config.state_directory, .run = config.run_directory, .pins = config.pin_directory}));
  }
  return config;
}

EnrolRequestFacts facts_of(const NodeConfig& config) {
  EnrolRequestFacts facts;
  facts.controllers = config.controllers;
  facts.name = config.name;
  facts.platform = platform();
  return facts;
}

/// Asks until the device is approved or `until` has passed. Refusals end it, a controller that is away
/// doesn't.
Result<Identity> wait_for_approval(const EnrolRequestFacts& facts, const IdentityStore& store,
                                   std::chrono::steady_clock::time_point until) {
  bool told = false;
  for (;;) {
    auto answer = poll_enrolment(facts, store, system_clock());
    Seconds pause{5};
    if (answer) {
      if (!answer->identity.pending) return std::move(answer->identity);
      pause = answer->ask_again;
      if (!told)
        log::info(kCommandsArea, "waiting for approval: cordon device approve {}",
                  answer->identity.device.value);
      told = true;
    } else if (answer.error().code != ErrorCode::unavailable) {
      return std::unexpected(answer.error());
    } else {
      log::warning(kCommandsArea, "{}", answer.error().message());
    }
    if (std::chrono::steady_clock::now() + pause > until)
      return fail(ErrorCode::unavailable, "not approved yet",
                  "an operator runs: cordon device approve " + facts.name);
    std::this_thread::sleep_for(pause);
  }
}

Result<> enrol_now(const CommandOptions& options) {
  // The token may be readable by root alone: before the change of user.
  CORDON_ASSIGN(const auto token, read_join_token(options.token_file));
  CORDON_ASSIGN(const auto config, prepare(options));
  if (::geteuid() == 0)
    return fail(ErrorCode::forbidden, "keys made as root can't be read by the daemon", "add: --user cordon");
  const IdentityStore store(config.state_directory);
  CORDON_ASSIGN(auto identity, enrol(facts_of(config), token, store, system_clock()));
  if (identity.pending && options.wait.count() > 0) {
    CORDON_ASSIGN(identity, wait_for_approval(facts_of(config), store,
                                              std::chrono::steady_clock::now() + options.wait));
  }
  if (identity.pending)
    std::cout << "device " << identity.device.value << " waits for approval: cordon device approve "
              << identity.device.value << "\n";
  else
    std::cout << "device " << identity.device.value << " is enrolled\n";
  return {};
}

/// With the controllers that this host goes by.
FilterConfig filter_of(const NodeConfig& config, const IdentityStore& store) {
  FilterConfig out = filter_config(config, mounts());
  out.controllers = Controllers::open(config.controllers, store).allowed();
  return out;
}

Result<> serve(const NodeConfig& config) {
  remove_unfinished(config.state_directory);  // of a daemon that was killed; keys may stand in it
  const IdentityStore store(config.state_directory);
  CORDON_ASSIGN(const auto identity, store.load());
  if (!identity)
    return fail(ErrorCode::not_found, "this device is not enrolled",
                "run: cordon-node enrol --token-file FILE");
  if (identity->pending) {
    CORDON_TRY(wait_for_approval(facts_of(config), store, std::chrono::steady_clock::time_point::max()));
  }
  CORDON_ASSIGN(const auto network, open_network());
  CORDON_ASSIGN(const auto tunnel, open_tunnel(tunnel_config(config)));
  CORDON_ASSIGN(const auto filter, open_filter(filter_of(config, store)));
  boost::asio::io_context io(1);
  CORDON_ASSIGN(const auto agent, Agent::open({.io = io,
                                               .config = config,
                                               .store = store,
                                               .filter = *filter,
                                               .tunnel = *tunnel,
                                               .network = *network,
                                               .clock = system_clock(),
                                               .uniform = jitter(),
                                               .boot_id = boot_id()}));
  CORDON_TRY(agent->start());
  boost::asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&](boost::system::error_code ec, int) {
    if (ec) return;
    log::info(kCommandsArea, "ends; filter and tunnel stay");
    agent->stop();
    io.stop();
  });
  io.run();
  return {};
}

/// Filter, tunnel and socket are one process's: two would undo each other's work.
Result<StateDirectory> be_the_only_one(const NodeConfig& config, std::chrono::milliseconds patience) {
  return StateDirectory::open(config.state_directory, "cordon-node", patience);
}
constexpr std::chrono::milliseconds kOfOneThatEnds{5000};

Result<> run_now(const CommandOptions& options) {
  take_precedence();
  CORDON_ASSIGN(const auto config, prepare(options));
  CORDON_ASSIGN(const auto directory, be_the_only_one(config, kOfOneThatEnds));
  CORDON_TRY(require_modest_privileges());
  CORDON_TRY(lock_down());
  return serve(config);
}

/// At boot, before the network: what the daemon will adopt. Nothing is asked of anybody.
Result<> guard_now(const CommandOptions& options) {
  CORDON_ASSIGN(const auto config, prepare(options));
  const auto directory = be_the_only_one(config, {});
  if (!directory && directory.error().code == ErrorCode::conflict) {
    std::cout << "a daemon guards this host already\n";
    return {};
  }
  // At boot the disk may be read-only yet: rather two at once than no guard.
  if (!directory) log::warning(kCommandsArea, "{}", directory.error().message());
  CORDON_TRY(require_modest_privileges());
  CORDON_ASSIGN(const auto network, open_network());
  FilterConfig wanted = filter_of(config, IdentityStore(config.state_directory));
  wanted.guard_sockets = true;
  CORDON_ASSIGN(const auto filter, open_filter(wanted));
  if (filter->adopted()) {
    std::cout << "a filter is in force already\n";
    return {};
  }
  CORDON_ASSIGN(const bool restored,
                GuardFile(config.state_directory).restore(*filter, *network, config.interface));
  if (!restored) {
    std::cout << "nothing was guarded before\n";
    return {};
  }
  CORDON_ASSIGN(const auto links, network->links());
  CORDON_TRY(filter->attach_underlay(underlay_of(config, links, filter->contained())));
  std::cout << (filter->contained() ? "isolated as before\n" : "guarded as before\n");
  return {};
}

Result<> uninstall_now(const CommandOptions& options) {
  CORDON_ASSIGN(const auto config, prepare(options));
  CORDON_ASSIGN(const auto directory, be_the_only_one(config, kOfOneThatEnds));
  CORDON_ASSIGN(const auto tunnel, open_tunnel(tunnel_config(config)));
  CORDON_ASSIGN(const auto filter, open_filter(filter_config(config, mounts())));
  CORDON_TRY(filter->remove_all());
  CloseTimeout(kMptcpCloseTimeout, config.run_directory / kMptcpMemory);  // of a daemon that was killed
  GuardFile(config.state_directory).forget();
  Controllers(config.controllers, config.state_directory).forget();
  CORDON_TRY(tunnel->remove());  // its addresses and routes go with it
  CORDON_ASSIGN(const auto network, open_network());
  CORDON_TRY(network->remove_routing(config.interface));
  std::error_code ec;
  std::filesystem::remove(config.run_directory / "node.sock", ec);
  std::cout << "filter and tunnel are gone; keys and certificate stay in " << config.state_directory.string()
            << "\n";
  return {};
}

template <class Command>
int run(Command command, const CommandOptions& options) {
  try {
    const Result<> done = command(options);
    return done ? kExitDone : tell(done.error());
  } catch (const std::exception& e) {
    return tell({.code = ErrorCode::internal, .what = e.what()});
  }
}

}  // namespace

int run_enrol(const CommandOptions& options) {
  return run(enrol_now, options);
}
int run_daemon(const CommandOptions& options) {
  return run(run_now, options);
}
int run_guard(const CommandOptions& options) {
  return run(guard_now, options);
}
int run_uninstall(const CommandOptions& options) {
  return run(uninstall_now, options);
}

}  // namespace cordon::node
