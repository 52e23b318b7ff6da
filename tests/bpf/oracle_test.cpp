// I2, end to end: random worlds (policies, devices, sessions) are compiled, their states put into the kernel,
// and what the kernel says of a first packet is what policy::evaluate says of the question, at both ends.

#include "policy/compile.h"
#include "policy/evaluate.h"
#include "tests/bpf/fixture.h"
#include "tests/support/world_gen.h"

namespace cordon::test {
namespace {

constexpr std::uint64_t kWorlds = 8;
constexpr int kQuestionsPerNode = 60;

class OracleTest : public FilterTest {
 protected:
  struct Asker {
    policy::PrincipalRef who;
    policy::OverlayAddresses addresses;
    DeviceId device;
  };
  static std::vector<Asker> askers(const policy::World& world) {
    std::vector<Asker> out;
    for (const auto& [id, session] : world.sessions) out.push_back({id, session.addresses, session.device});
    for (const auto& [id, device] : world.devices) out.push_back({id, device.addresses, id});
    return out;
  }
  void ask(const policy::World& world, WorldGen& gen, const char* program, const Asker& asker,
           const policy::Device& target) {
    const std::uint8_t protocol = gen.protocol();
    const bool v4 = protocol == policy::kIcmp || (protocol != policy::kIcmpv6 && gen.number(2) == 0);
    std::uint16_t port = gen.port();
    if (protocol == policy::kIcmp) port = 8;
    if (protocol == policy::kIcmpv6) port = 128;
    if (protocol == 47) port = 0;
    const Flow flow{v4 ? asker.addresses.v4 : asker.addresses.v6,
                    v4 ? target.addresses.v4 : target.addresses.v6,
                    static_cast<std::uint16_t>(1024 + gen.number(60000)), port};
    const auto decision = policy::evaluate(
        world, {.principal = asker.who, .target = target.id, .protocol = protocol, .port = port}, kNow);
    const Verdict kernel = run(program, any_packet(flow, protocol));
    forget_flows();
    const std::string what = flow.source.to_string() + " > " + flow.destination.to_string() + " protocol " +
                             std::to_string(protocol) + " port " + std::to_string(port) + " at " + program +
                             ", reason '" + kernel.reason + "', rule '" + decision.rule + "' " +
                             decision.reason;
    if (decision.verdict == policy::Verdict::allow) {
      EXPECT_EQ(kernel, accepted(world.rule_ids.at(decision.rule).value)) << what;
      ++allowed_;
    } else if (!decision.observed) {
      EXPECT_FALSE(kernel.accept) << what;
      ++denied_;
    }
  }
  unsigned allowed_ = 0, denied_ = 0;
};

TEST_F(OracleTest, KernelAndEvaluateAgree) {
  for (std::uint64_t seed = 1; seed <= kWorlds && !HasFailure(); ++seed) {
    WorldGen gen(seeded(seed));
    const policy::World world = gen.world().world();
    const auto everybody = askers(world);
    for (const auto& [id, state] : policy::compile(world, kNow)) {
      state_ = state;
      write();
      std::vector<Asker> here;
      for (const Asker& asker : everybody)
        if (asker.device == id) here.push_back(asker);
      for (int i = 0; i < kQuestionsPerNode; ++i) {
        const Asker& remote = everybody[gen.number(static_cast<std::uint32_t>(everybody.size()))];
        if (remote.device != id) ask(world, gen, "overlay_in", remote, world.devices.at(id));
        const Asker& local = here[gen.number(static_cast<std::uint32_t>(here.size()))];
        const auto target =
            std::next(world.devices.begin(), gen.number(static_cast<std::uint32_t>(world.devices.size())));
        if (target->first != id) ask(world, gen, "overlay_out", local, target->second);
      }
    }
  }
  EXPECT_GT(allowed_, 100u);
  EXPECT_GT(denied_, 500u);
}

}  // namespace
}  // namespace cordon::test
