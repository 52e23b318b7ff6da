#include <gtest/gtest.h>

#include "controller/distribution/receipt_ledger.h"
#include "tests/support/log_fixture.h"
#include "tests/support/temp_dir.h"

namespace cordon::controller {
namespace distribution_receipts_test {

using namespace test;

struct ReceiptLedgerTest : testing::Test {
  void open(const ReceiptBounds& bounds = {}) {
    ledger = must(ReceiptLedger::open(dir / "receipts.db", bounds));
  }
  /// `revision`, committed and acknowledged at `at`.
  void acknowledge(Revision revision, Timestamp at, std::size_t signature_bytes = 64) {
    ledger->concern(revision, at, ledger_host, false);
    ledger->acked(ledger_host, revision, at + Seconds(1),
                  {.head = revision, .at = at, .signature = Bytes(signature_bytes, 7)});
  }

  const DeviceId ledger_host{"ledger"};
  TempDir dir;
  std::unique_ptr<ReceiptLedger> ledger;
};

TEST_F(ReceiptLedgerTest, KeepsThemOverARestart) {
  open();
  acknowledge(Revision(5), kStart);
  must(ledger->flush(kStart));
  open();
  const auto kept = ledger->receipts(Revision(5));
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_TRUE(kept[0].acked);
  EXPECT_EQ(kept[0].after_us, 1'000'000);
  EXPECT_EQ(kept[0].receipt_signature, Bytes(64, 7));
}

TEST_F(ReceiptLedgerTest, LetsGoByAge) {
  open({.keep = Seconds(3600)});
  acknowledge(Revision(5), kStart);
  acknowledge(Revision(6), kStart + Seconds(3000));
  must(ledger->flush(kStart + Seconds(3000)));
  acknowledge(Revision(7), kStart + Seconds(4000));
  must(ledger->flush(kStart + Seconds(4000)));
  open();
  EXPECT_TRUE(ledger->receipts(Revision(5)).empty());
  EXPECT_EQ(ledger->receipts(Revision(6)).size(), 1u);
  EXPECT_EQ(ledger->receipts(Revision(7)).size(), 1u);
}

TEST_F(ReceiptLedgerTest, LetsTheOldestGoWhenThereAreTooManyBytes) {
  open({.max_bytes = 1u << 20});
  for (std::uint64_t i = 1; i <= 12'000; ++i) acknowledge(Revision(i), kStart, 256);
  must(ledger->flush(kStart));
  open();
  EXPECT_TRUE(ledger->receipts(Revision(1)).empty());
  EXPECT_EQ(ledger->receipts(Revision(12'000)).size(), 1u) << "the newest stay";
  EXPECT_LT(std::filesystem::file_size(dir / "receipts.db"), 8u << 20);
}

}  // namespace distribution_receipts_test
}  // namespace cordon::controller
