#include "controller/core/runtime.h"

#include <gtest/gtest.h>

#include "controller/log/log_store.h"
#include "controller/world/kinds.h"
#include "tests/support/log_fixture.h"
#include "tests/support/temp_dir.h"

namespace cordon::controller {
namespace core_runtime_test {

using test::must;

class RuntimeTest : public testing::Test {
 protected:
  /// Starts, and lets it end at once.
  void start() {
    const auto controller = must(start_controller({.name = "c1",
                                                   .trust_domain = "acme.example",
                                                   .state_directory = dir / "state",
                                                   .run_directory = dir / "run",
                                                   .listen_nodes = Endpoint{Address::from_v4(0x7f000001), 0},
                                                   .listen_api = Endpoint{Address::from_v4(0x7f000001), 0}}));
    controller->stop();
    must(controller->run());
  }
  std::vector<std::string> kinds_recorded() const {
    std::vector<std::string> out;
    const auto store = must(open_log_store(dir / "state" / "log.db"));
    for (const Record& record : must(store->read(Revision(0), 100))) out.push_back(record.kind);
    return out;
  }
  const test::TempDir dir;
};

TEST_F(RuntimeTest, TheFormatIsRaisedOnceAndBeforeAnythingElse) {
  start();
  EXPECT_EQ(kinds_recorded(), (std::vector<std::string>{"installation created", "format raised"}));
  start();
  EXPECT_EQ(kinds_recorded().size(), 2u) << "it has it already";
}

}  // namespace core_runtime_test
}  // namespace cordon::controller
