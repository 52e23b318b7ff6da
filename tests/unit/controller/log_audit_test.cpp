#include "controller/log/audit.h"

#include <gtest/gtest.h>

#include "tests/support/log_fixture.h"
#include "tests/support/memory_log_store.h"

namespace cordon::controller {
namespace log_audit_test {

using namespace test;
using namespace kinds;

class Audit : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    authority_ = std::make_unique<TestAuthority>();
    store_ = std::make_unique<MemoryLogStore>();
    History h;
    h.add(installation());
    for (int i = 0; i < 4; ++i) h.add(join_token("t-" + std::to_string(i)));
    must(store_->commit(std::span(h.records).first(1), authority_->sign(h.records[0])));
    must(store_->commit(std::span(h.records).subspan(1, 3), authority_->sign(h.records[3])));
    must(store_->commit(std::span(h.records).subspan(4), authority_->sign(h.records[4])));
    records_ = h.records;
    must(export_log(*store_, [](std::string_view lines) -> Result<> {
      text_ += lines;
      return {};
    }));
    std::string_view rest = text_;
    while (!rest.empty()) {
      lines_.emplace_back(rest.substr(0, rest.find('\n') + 1));
      rest.remove_prefix(lines_.back().size());
    }
  }
  static void TearDownTestSuite() {
    authority_.reset();
    store_.reset();
  }

  static wire::AuditReport verify(const std::vector<std::string>& lines,
                                  std::optional<wire::Checkpoint> against = {}) {
    std::string text;
    for (const auto& line : lines) text += line;
    return wire::verify_export(text, {.trust_bundle_pem = authority_->root_pem, .against = against});
  }
  static wire::Checkpoint at(std::size_t revision) {
    return {.revision = Revision(revision), .hash = records_[revision - 1].hash};
  }

  static std::unique_ptr<TestAuthority> authority_;
  static std::unique_ptr<MemoryLogStore> store_;
  static std::vector<Record> records_;
  static std::string text_;
  static std::vector<std::string>
      lines_;  // record 1, signer, head 1, records 2 to 4, head 4, record 5, head 5
};
std::unique_ptr<TestAuthority> Audit::authority_;
std::unique_ptr<MemoryLogStore> Audit::store_;
std::vector<Record> Audit::records_;
std::string Audit::text_;
std::vector<std::string> Audit::lines_;

TEST_F(Audit, FindsAnExportGood) {
  ASSERT_EQ(lines_.size(), 9u);
  const auto report = verify(lines_);
  ASSERT_TRUE(report.ok()) << report.fault->reason;
  EXPECT_EQ(report.records, 5u);
  EXPECT_EQ(report.heads, 3u);
  EXPECT_EQ(report.last, at(5));
  EXPECT_EQ(report.signers, (std::set<std::string>{"spiffe://acme.example/controller/c1"}));
  for (std::size_t revision = 1; revision <= 5; ++revision) EXPECT_TRUE(verify(lines_, at(revision)).ok());
}

TEST_F(Audit, FindsTheControllersOwnLogGood) {
  const auto report = must(verify_log(*store_, {.trust_bundle_pem = authority_->root_pem, .against = at(4)}));
  ASSERT_TRUE(report.ok()) << report.fault->reason;
  EXPECT_EQ(report.last, at(5));
}

TEST_F(Audit, TellsTheFirstRevisionThatIsWrong) {
  auto lines = lines_;
  const auto place = lines[4].find("root@local");
  lines[4].replace(place, 4, "toor");
  const auto report = verify(lines);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.fault->revision, Revision(3));
  EXPECT_EQ(report.last, at(1)) << "what a head covers before it is still good";
}

TEST_F(Audit, FindsCuts) {
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    auto lines = lines_;
    lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(i));
    // A head within the log takes nothing away: the next covers its records too.
    const bool harmless = i == 2 || i == 6;
    EXPECT_EQ(verify(lines, at(5)).ok(), harmless) << "without line " << i;
  }
  // Batches that are cut off whole are found against a checkpoint alone.
  const std::vector<std::string> first(lines_.begin(), lines_.begin() + 3);
  EXPECT_TRUE(verify(first).ok());
  const auto cut = verify(first, at(4));
  ASSERT_FALSE(cut.ok());
  EXPECT_EQ(cut.fault->revision, Revision(2));
  EXPECT_FALSE(verify({}).ok());
  EXPECT_FALSE(verify({lines_.begin(), lines_.begin() + 4}).ok()) << "a record that no head covers";
}

TEST_F(Audit, FindsARewrittenLogByTheCheckpoint) {
  History other;
  other.add(installation());
  other.add(join_token("t-9"));
  wire::ExportWriter writer;
  std::string text;
  for (const auto& record : other.records) text += writer.record(record);
  text += writer.head(authority_->sign(other.records.back()));
  const wire::AuditOptions options{.trust_bundle_pem = authority_->root_pem};
  EXPECT_TRUE(wire::verify_export(text, options).ok()) << "well signed, so alone it can't be told";
  const auto report = wire::verify_export(text, {.trust_bundle_pem = authority_->root_pem, .against = at(2)});
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.fault->revision, Revision(2));
}

TEST_F(Audit, TrustsOnlyControllersOfThisInstallation) {
  const auto with = [&](const crypto::PrivateKey& key, const std::string& chain, const std::string& roots) {
    auto head = authority_->sign(records_[0]);
    head.signature = key.sign(wire::head_text(head.revision, head.hash));
    head.signer_pem = chain;
    wire::ExportWriter writer;
    return wire::verify_export(writer.record(records_[0]) + writer.head(head), {.trust_bundle_pem = roots})
        .ok();
  };
  const auto& a = *authority_;
  EXPECT_TRUE(with(a.key, a.chain_pem, a.root_pem));
  const TestAuthority other;
  EXPECT_FALSE(with(other.key, other.chain_pem, a.root_pem)) << "another root";
  EXPECT_FALSE(with(other.key, a.chain_pem, a.root_pem)) << "another key";
  const auto device = must(crypto::PrivateKey::generate());
  const auto device_pem = a.leaf(device, "spiffe://acme.example/device/web", false) + a.middle_pem;
  EXPECT_FALSE(with(device, device_pem, a.root_pem)) << "a device's certificate";
  const auto liar_pem = a.leaf(device, "spiffe://acme.example/controller/c2", false) + a.middle_pem;
  EXPECT_FALSE(with(device, liar_pem, a.root_pem)) << "no server's certificate";
  const auto old_pem =
      a.leaf(device, "spiffe://acme.example/controller/c2", true, kStart - Seconds(60)) + a.middle_pem;
  EXPECT_FALSE(with(device, old_pem, a.root_pem)) << "expired when it signed";
  EXPECT_FALSE(with(a.key, a.leaf(a.key, "spiffe://acme.example/controller/c1", true), a.root_pem))
      << "no intermediate";
  EXPECT_FALSE(with(a.key, "garbage", a.root_pem));
  EXPECT_FALSE(with(a.key, a.chain_pem, "garbage"));
}

TEST_F(Audit, ReadsLinesStrictly) {
  wire::ExportReader reader;
  for (const std::string_view line : {"", "{}", "[]", "null", R"({"record":{}})", R"({"other":{}})",
                                      R"({"head":{},"record":{}})", R"({"signer":{"id":"x","pem":"y"}})"}) {
    EXPECT_FALSE(reader.read(line)) << line;
  }
  const auto record = std::string_view(lines_[0]).substr(0, lines_[0].size() - 1);
  EXPECT_EQ(must(reader.read(record)).record, records_[0]);
  EXPECT_FALSE(reader.read(std::string(record) + " "));
  for (std::size_t size = 0; size < record.size(); ++size) EXPECT_FALSE(reader.read(record.substr(0, size)));
  const auto head = std::string_view(lines_[2]).substr(0, lines_[2].size() - 1);
  EXPECT_FALSE(reader.read(head)) << "its signer wasn't told";
}

TEST(Checkpoint, HasAText) {
  const wire::Checkpoint checkpoint{.revision = Revision(17), .hash = sha256(as_bytes("x"))};
  EXPECT_EQ(must(wire::Checkpoint::parse(checkpoint.to_string())), checkpoint);
  for (const std::string_view text : {"", "17", "17:", ":00", "x:00", "17:zz", "-1:00"}) {
    EXPECT_FALSE(wire::Checkpoint::parse(text)) << text;
  }
}

}  // namespace log_audit_test
}  // namespace cordon::controller
