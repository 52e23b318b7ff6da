// Packets come between a hook's load and store: what both count on one CPU is counted all the same.

#include <bpf/bpf.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/bpf/people_fixture.h"

namespace cordon::test {
namespace softirq_test {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kWhile{1500};

void pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) ::_exit(249);
}

/// Sends a frame again and again, from another CPU, and ends by itself should nobody end it. Not as fast as
/// it can: each is to be an interrupt of its own.
pid_t flood(const char* interface, const Packet& frame) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  pin_to(1);
  const int socket = ::socket(AF_PACKET, SOCK_RAW, 0);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(::if_nametoindex(interface));
  for (const auto end = Clock::now() + 10 * kWhile; Clock::now() < end;)
    for (int i = 0; i < 64; ++i) {
      const auto next = Clock::now() + std::chrono::microseconds(4);
      ::sendto(socket, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
      while (Clock::now() < next) {
      }
    }
  ::_exit(0);
}

class SoftirqTest : public PeopleTest {
 protected:
  /// How often a program ran, while the kernel keeps count.
  std::uint64_t runs(const char* program) const {
    bpf_prog_info info{};
    __u32 size = sizeof info;
    EXPECT_EQ(bpf_obj_get_info_by_fd(filter_->objects().program(program), &info, &size), 0);
    return info.run_cnt;
  }
};

TEST_F(SoftirqTest, AHooksCountsMeetThoseOfPackets) {
  if (::sysconf(_SC_NPROCESSORS_ONLN) < 2) GTEST_SKIP() << "one CPU";
  open(true);
  // What the other CPU sends is received by the one of the process.
  shell("unshare -m sh -c 'mount -t sysfs none /sys && echo 1 > /sys/class/net/ov0/queues/rx-0/rps_cpus'");
  const node::Descriptor keep_count(bpf_enable_stats(BPF_STATS_RUN_TIME));
  ASSERT_TRUE(keep_count);
  const std::uint64_t before = runs("overlay_in_eth");
  const std::uint64_t denied = counted("no grant");
  (void)events();
  void* shared =
      ::mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto* refusals = static_cast<std::uint64_t*>(shared);
  // One source and reason: they meet in its row too.
  const pid_t other = flood("ov1", ethernet(udp({address(kV4.client), address(kV4.server), 40000, 54})));
  const int done = as(0, [&] {
    pin_to(0);
    const SocketAddress to(kV4.server, 55);
    const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
    // What is in the first cache is added to in no time: it is filled with other things each time.
    std::vector<char> other_things(64u << 10);
    for (const auto end = Clock::now() + kWhile; Clock::now() < end;)
      for (int i = 0; i < 64; ++i) {
        for (std::size_t at = 0; at < other_things.size(); at += 64)
          *const_cast<volatile char*>(&other_things[at]) = 1;
        if (::connect(socket, to.get(), to.size) == 0 || errno != EHOSTUNREACH) return 1;
        ++*refusals;
      }
    return 0;
  });
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
  ASSERT_EQ(done, 0);
  std::uint64_t packets = runs("overlay_in_eth");
  for (std::uint64_t last = packets + 1; packets != last; packets = runs("overlay_in_eth")) {
    last = packets;
    ::usleep(100'000);  // what waits on the other CPU
  }
  packets -= before;
  fmt::print("{} refusals, {} packets\n", *refusals, packets);
  EXPECT_GT(packets, 0u);
  EXPECT_EQ(counted("no grant") - denied, *refusals + packets);
  std::uint64_t told = 0;
  for (std::uint32_t untold = sweep().untold + 1; untold > 0; untold = tell_denials().untold)
    for (auto seen = events(); !seen.empty(); seen = events())
      for (const node::FlowEvent& event : seen)
        if (event.reason == "no grant") told += event.suppressed + 1;
  for (const node::FlowEvent& event : events())
    if (event.reason == "no grant") told += event.suppressed + 1;
  EXPECT_EQ(told, *refusals + packets);
  ::munmap(shared, sizeof(std::uint64_t));
}

}  // namespace softirq_test
}  // namespace cordon::test
