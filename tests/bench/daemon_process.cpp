#include "tests/bench/daemon_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <new>
#include <sstream>

#include "node/agent/agent.h"
#include "node/filter/kernel_filter.h"
#include "tests/unit/node/agent_fakes.h"
#include "tests/unit/node/link_temporary.h"

namespace cordon::bench {
namespace {

Result<> enrol(const node::IdentityStore& store, const node::test::Pki& pki) {
  CORDON_ASSIGN(const node::Keys keys, store.load_or_make_keys());
  CORDON_ASSIGN(const std::string csr, crypto::make_csr(keys.device, "bench"));
  return store.save(
      {.device = DeviceId{"bench"}, .certificate_pem = pki.device(csr, "bench"), .trust_pem = pki.root_pem});
}

/// Over an interface that is there.
class StandingTunnel final : public node::test::FakeTunnel {
 public:
  StandingTunnel(node::test::Steps& steps, unsigned ifindex) : FakeTunnel(steps), ifindex_(ifindex) {}
  unsigned ifindex() const override { return ifindex_; }

 private:
  unsigned ifindex_;
};

std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// The number behind `name` in a file of /proc, or 0.
std::uint64_t number_behind(const std::string& text, std::string_view name) {
  const auto at = text.find(name);
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at + name.size(), nullptr, 10);
}

}  // namespace

/// Notes the longest time between two moments at which the loop could do something, until it is asked for.
class DaemonProcess::Pulse {
 public:
  Pulse(boost::asio::io_context& io, Pause& pause) : timer_(io), pause_(pause) { beat(); }

 private:
  void beat() {
    timer_.expires_after(std::chrono::milliseconds(1));
    timer_.async_wait([this](boost::system::error_code ec) {
      if (ec || pause_.asked) return;
      const std::chrono::nanoseconds late = std::chrono::steady_clock::now() - timer_.expiry();
      pause_.longest_ns = std::max<std::int64_t>(pause_.longest_ns, late.count());
      beat();
    });
  }
  boost::asio::steady_timer timer_;
  Pause& pause_;
};

/// Until `order` is closed.
Result<> DaemonProcess::run_agent(const node::test::Pki& pki, unsigned ifindex, node::Descriptor order,
                                  Pause& pause) {
  std::uint16_t port = 0;
  if (::read(order.get(), &port, sizeof port) != sizeof port) return {};
  const node::test::TemporaryDirectory directory;
  const node::IdentityStore store{directory.path()};
  CORDON_TRY(enrol(store, pki));
  node::NodeConfig config;
  config.instance = "bench";
  config.controllers = {Endpoint{.address = Address::from_v4(0x7f000001), .port = port}};
  config.state_directory = config.run_directory = directory.path();
  node::FilterConfig filter_config;
  filter_config.pin_directory = fmt::format("/sys/fs/bpf/cordon-bench-{}-daemon", ::getpid());
  CORDON_ASSIGN(auto filter, node::KernelFilter::open(filter_config));
  node::test::Steps steps;
  StandingTunnel tunnel(steps, ifindex);
  node::test::FakeNetwork network{steps};
  network.all = {{.index = 1, .name = "lo", .up = true, .loopback = true}};
  boost::asio::io_context io;
  auto opened = node::Agent::open({.io = io,
                                   .config = config,
                                   .store = store,
                                   .filter = *filter,
                                   .tunnel = tunnel,
                                   .network = network,
                                   .clock = system_clock(),
                                   .uniform = [] { return 0.5; },
                                   .boot_id = "boot"});
  const auto run = [&]() -> Result<> {
    CORDON_ASSIGN(auto agent, std::move(opened));
    CORDON_TRY(agent->start());
    boost::asio::posix::stream_descriptor told(io, ::dup(order.get()));
    const Pulse pulse(io, pause);
    told.async_wait(boost::asio::posix::stream_descriptor::wait_read, [&](auto) { io.stop(); });
    io.run();
    agent->stop();
    return {};
  };
  auto ran = run();
  CORDON_TRY(filter->remove_all());
  return ran;
}

Result<DaemonProcess> DaemonProcess::fork(const node::test::Pki& pki, unsigned ifindex) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("can't make a pipe", errno);
  node::Descriptor read_end(ends[0]), write_end(ends[1]);
  void* const shared =
      ::mmap(nullptr, sizeof(Pause), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return fail_errno("can't share memory with a process", errno);
  auto* const pause = new (shared) Pause;
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("can't start a process", errno);
  if (child == 0) {
    write_end = {};
    const auto ran = run_agent(pki, ifindex, std::move(read_end), *pause);
    if (!ran) fmt::print(stderr, "bench daemon: {}\n", ran.error().message());
    ::_exit(ran ? 0 : 1);
  }
  return DaemonProcess(child, std::move(write_end), pause);
}

Result<> DaemonProcess::meet(const Endpoint& controller) {
  if (::write(order_.get(), &controller.port, sizeof controller.port) != sizeof controller.port)
    return fail_errno("can't tell the daemon its controller", errno);
  return {};
}

DaemonProcess::~DaemonProcess() {
  if (!order_) return;
  order_ = {};
  if (process_ > 0) ::waitpid(process_, nullptr, 0);
}

bool DaemonProcess::ended() {
  if (process_ > 0 && ::waitpid(process_, nullptr, WNOHANG) == process_) process_ = -1;
  return process_ < 0;
}

double DaemonProcess::cpu_ms() const {
  const std::string stat = text_of(fmt::format("/proc/{}/stat", process_));
  std::istringstream fields(stat.substr(std::min(stat.rfind(')') + 1, stat.size())));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  double user = 0, kernel = 0;  // fields 14 and 15 of proc(5), in ticks
  fields >> user >> kernel;
  return (user + kernel) * 1000 / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::uint64_t DaemonProcess::resident_bytes() const {
  return number_behind(text_of(fmt::format("/proc/{}/status", process_)), "VmRSS:") * 1024;
}

double DaemonProcess::longest_pause_ms() {
  pause_->asked = true;
  return static_cast<double>(pause_->longest_ns) / 1e6;
}

std::uint64_t DaemonProcess::map_bytes() const {
  std::map<std::uint64_t, std::uint64_t> by_id;
  std::error_code error;
  for (const auto& file :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/fdinfo", process_), error)) {
    const std::string info = text_of(file.path());
    if (const auto id = number_behind(info, "map_id:"); id != 0) by_id[id] = number_behind(info, "memlock:");
  }
  std::uint64_t sum = 0;
  for (const auto& [id, bytes] : by_id) sum += bytes;
  return sum;
}

}  // namespace cordon::bench
