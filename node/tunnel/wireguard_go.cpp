#include "node/tunnel/wireguard_go.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>

#include "base/files.h"
#include "base/log.h"
#include "node/tunnel/uapi_device.h"

namespace cordon::node::wireguard {
namespace {

constexpr std::string_view kProcessArea = "node.tunnel";

bool wait_for(std::chrono::milliseconds longest, const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + longest;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

Result<> check_tun_device() {
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    close(fd);
    return {};
  }
  const int number = errno;
  if (number == EACCES || number == EPERM) {
    return fail(ErrorCode::forbidden, fmt::format("uid {} may not open /dev/net/tun", geteuid()),
                "'chmod 0666 /dev/net/tun' as root, which is what udev does by default: CAP_NET_ADMIN is "
                "asked for all "
                "the same");
  }
  return fail_errno("can't open /dev/net/tun", number, "'modprobe tun' as root");
}

Result<> check_socket_directory() {
  std::error_code error;
  if (!std::filesystem::exists(kUapiDirectory, error))
    std::filesystem::create_directory(kUapiDirectory, error);
  if (access(kUapiDirectory.c_str(), W_OK | X_OK) == 0) return {};
  return fail(
      ErrorCode::forbidden,
      fmt::format("wireguard-go couldn't make its socket: uid {} may not write to {}: {}", geteuid(),
                  kUapiDirectory.string(), std::strerror(errno)),
      fmt::format("'install -d -m 0700 -o USER {}' as root, with the daemon's user (the unit's ExecStartPre "
                  "does it)",
                  kUapiDirectory.string()));
}

std::vector<std::string> environment() {
  // WG_PROCESS_FOREGROUND keeps its banner about the kernel's module away.
  std::vector<std::string> out{"LOG_LEVEL=error", "WG_PROCESS_FOREGROUND=1"};
  const char* path = std::getenv("PATH");
  out.push_back(fmt::format("PATH={}", path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin"));
  return out;
}

}  // namespace

std::filesystem::path WireguardGo::socket() const {
  return kUapiDirectory / (config_.interface + ".sock");
}

std::filesystem::path WireguardGo::pid_file() const {
  return config_.run_directory / fmt::format("wireguard-go.{}.pid", config_.interface);
}

Result<> WireguardGo::ensure() {
  CORDON_ASSIGN(const bool adopted, adopt());
  if (adopted) return {};
  end_unresponsive();
  return start();
}

Result<bool> WireguardGo::adopt() {
  auto listener = uapi_listener(socket());
  if (!listener) {
    if (listener.error().code == ErrorCode::unavailable) return false;
    return std::unexpected(std::move(listener).error());
  }
  const bool here =
      wait_for(std::chrono::seconds(1), [&] { return if_nametoindex(config_.interface.c_str()) != 0; });
  if (!here) {
    if (!uapi_listener(socket())) return false;  // it was ending
    return fail(
        ErrorCode::conflict,
        fmt::format("a wireguard-go (pid {}) holds the interface name '{}' in another network namespace",
                    *listener, config_.interface),
        "choose another 'interface' under [tunnel]: its socket's directory is shared by all namespaces");
  }
  process_ = find_process(*listener).value_or(ProcessId{});
  if (!UapiDevice(socket()).read()) return false;
  if (process_.pid != 0) CORDON_TRY(write_file(pid_file(), to_text(process_), 0600));
  log::info(kProcessArea, "adopted wireguard-go, pid {}, for '{}'", process_.pid, config_.interface);
  return true;
}

void WireguardGo::end_unresponsive() {
  if (process_.pid == 0) {
    const auto text = read_file(pid_file(), 256);
    process_ = text ? parse_process(*text).value_or(ProcessId{}) : ProcessId{};
  }
  if (process_.pid == 0 || !is_running(process_)) return;
  log::warning(kProcessArea, "wireguard-go, pid {}, doesn't answer for '{}': ending it", process_.pid,
               config_.interface);
  stop_process(process_);
}

Result<> WireguardGo::check_surroundings() const {
  CORDON_TRY(check_tun_device());
  return check_socket_directory();
}

Result<> WireguardGo::start() {
  CORDON_TRY(check_surroundings());
  auto started = start_detached({config_.program, "-f", config_.interface}, environment());
  if (!started) {
    return fail(
        ErrorCode::unavailable, started.error().what,
        fmt::format(
            "install {} (apt-get install wireguard-go), or name it with 'wireguard_go' under [tunnel]",
            config_.program));
  }
  process_ = *started;
  if (auto kept = write_file(pid_file(), to_text(process_), 0600); !kept) {
    stop_process(process_);  // one that can't be found again after a restart is worse than none
    return std::unexpected(in_context(std::move(kept).error(), "remembering wireguard-go"));
  }
  bool ended = false;
  const bool ready = wait_for(std::chrono::seconds(5), [&] {
    ended = !is_running(process_);
    return ended || (if_nametoindex(config_.interface.c_str()) != 0 && UapiDevice(socket()).read());
  });
  if (ended || !ready) {
    stop_process(process_);
    return fail(ErrorCode::unavailable,
                fmt::format("wireguard-go {} for interface '{}'",
                            ended ? "ended at once" : "didn't answer within five seconds", config_.interface),
                fmt::format("'LOG_LEVEL=verbose {} -f {}' as the same user tells why", config_.program,
                            config_.interface));
  }
  log::info(kProcessArea, "started wireguard-go, pid {}, for '{}'", process_.pid, config_.interface);
  return {};
}

bool WireguardGo::alive() {
  if (process_.pid != 0 && !is_running(process_)) return false;
  return uapi_listener(socket()).has_value();
}

Result<> WireguardGo::stop() {
  if (process_.pid != 0) stop_process(process_);
  if (process_.pid != 0 && is_running(process_)) {
    return fail(ErrorCode::io, fmt::format("wireguard-go, pid {}, can't be ended", process_.pid));
  }
  // What a killed one leaves behind.
  std::error_code ignored;
  std::filesystem::remove(socket(), ignored);
  std::filesystem::remove(pid_file(), ignored);
  return {};
}

}  // namespace cordon::node::wireguard
