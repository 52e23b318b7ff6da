#include <gtest/gtest.h>

#include "tests/support/log_fixture.h"

namespace cordon::controller {
namespace log_chain_test {

using namespace test;

std::vector<Record> three() {
  History h;
  h.add(installation());
  h.add(join_token("t-1"));
  h.add(kinds::TimeAdvanced{});
  return h.records;
}

TEST(Chain, HasAGoldenHash) {
  const Record record{.revision = Revision(1),
                      .at = from_us(1'800'000'000'000'000),
                      .actor = "root@local",
                      .kind = "time advanced",
                      .version = 1,
                      .payload = "{}"};
  // Reckoned apart, with Python's hashlib and struct, by the grammar in proto/log_record.cpp.
  EXPECT_EQ(to_hex(hash_of(record)), "df5ca4ccd2f01404d8b4fd280db0dbbe5d7f4469e480b5e0f8f20adb8a061cb9");
}

TEST(Chain, IsVerifiedFromAnyPoint) {
  const auto all = three();
  EXPECT_TRUE(verify_chain(all, Revision(0), {}));
  EXPECT_TRUE(verify_chain({}, Revision(0), {}));
  EXPECT_TRUE(verify_chain({all[1], all[2]}, all[0].revision, all[0].hash));
  EXPECT_FALSE(verify_chain({all[1], all[2]}, Revision(0), {}));
  EXPECT_FALSE(verify_chain({all[1]}, all[0].revision, {}));
}

TEST(Chain, FindsEveryFieldsChange) {
  const auto all = three();
  const std::vector<std::function<void(Record&)>> edits = {
      [](Record& r) { r.at += std::chrono::microseconds(1); },
      [](Record& r) { r.actor += "x"; },
      [](Record& r) { r.kind += "x"; },
      [](Record& r) { r.version = 2; },
      [](Record& r) { r.payload += " "; },
      [](Record& r) { r.previous[31] ^= 1; },
      [](Record& r) { r.hash[0] ^= 1; },
      [](Record& r) { r.revision.value += 1; },
  };
  for (const auto& edit : edits) {
    auto changed = all;
    edit(changed[1]);
    const auto verified = verify_chain(changed, Revision(0), {});
    ASSERT_FALSE(verified);
    EXPECT_NE(verified.error().what.find("revision 2"), std::string::npos) << verified.error().what;
  }
}

TEST(Chain, FindsReordersGapsAndTimeThatStandsStill) {
  const auto all = three();
  EXPECT_FALSE(verify_chain({all[1], all[0], all[2]}, Revision(0), {}));
  EXPECT_FALSE(verify_chain({all[0], all[2]}, Revision(0), {}));
  EXPECT_FALSE(verify_chain({all[0], all[0]}, Revision(0), {}));
  auto stands = all;
  stands[2].at = stands[1].at;
  stands[2].hash = hash_of(stands[2]);
  EXPECT_FALSE(verify_chain(stands, Revision(0), {}));
}

}  // namespace log_chain_test
}  // namespace cordon::controller
