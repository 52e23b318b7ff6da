// What the examples' facts ask, asked of the kernel: one packet a query, and the same answer as the
// evaluator's.

#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "node/filter/replay.h"
#include "policy/decide.h"
#include "policy/parse.h"
#include "tests/bpf/packet.h"
#include "tests/support/capture_file.h"

namespace cordon::test {
namespace replay_examples_test {

namespace fs = std::filesystem;

const policy::OverlayAddresses* addresses_of(const policy::World& world, const std::string& id) {
  if (const auto session = world.sessions.find(SessionId{id}); session != world.sessions.end())
    return &session->second.addresses;
  const auto device = world.devices.find(DeviceId{id});
  return device == world.devices.end() ? nullptr : &device->second.addresses;
}

TEST(ReplayExamplesTest, EachQueryAsAPacketGetsItsVerdict) {
  std::size_t packets = 0, accepted = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(CORDON_SOURCE_DIR) / "examples")) {
    const fs::path facts_file = entry.path() / "facts.json";
    if (!fs::exists(facts_file)) continue;
    SCOPED_TRACE(entry.path().filename().string());
    const auto parsed = policy::parse(read_policy_directory(entry.path()).value(), system_time_zones());
    ASSERT_TRUE(parsed.ok());
    const auto facts = policy::read_facts({"facts.json", read_file(facts_file).value()}, parsed.policy).facts;
    ASSERT_TRUE(facts && facts->at);
    for (const bool v4 : {true, false}) {
      CaptureFile file;
      std::vector<const policy::FactsQuery*> asked;
      for (const policy::FactsQuery& query : facts->queries) {
        const auto* from = addresses_of(facts->world, query.principal);
        const auto* to = addresses_of(facts->world, query.target);
        if (from == nullptr || to == nullptr || query.asks.front().protocol != policy::kTcp) continue;
        file.add(tcp({v4 ? from->v4 : from->v6, v4 ? to->v4 : to->v6,
                      static_cast<std::uint16_t>(40000 + asked.size()), query.asks.front().port},
                     kSyn));
        asked.push_back(&query);
      }
      node::Replay replay(facts->world, *facts->at);
      ASSERT_TRUE(replay.prepare(node::Capture::read(file.open()).value()));
      const auto done =
          replay.run(node::Capture::read(file.open()).value(), [&](const node::ReplayedPacket& packet) {
            const policy::FactsQuery& query = *asked.at(packet.packet);
            const policy::Decision decision = policy::decide(facts->world, query, *facts->at);
            EXPECT_EQ(packet.accept, decision.verdict == policy::Verdict::allow)
                << query.principal << " to " << query.target << ' ' << query.access << ": " << packet.reason;
            if (packet.accept) {
              EXPECT_EQ(packet.rule, decision.rule);
            }
            return Result<>{};
          });
      ASSERT_TRUE(done) << done.error().message();
      packets += asked.size();
      accepted += replay.totals().accepted;
    }
  }
  EXPECT_GE(packets, 96u);
  EXPECT_GE(accepted, 24u);
}

}  // namespace replay_examples_test
}  // namespace cordon::test
