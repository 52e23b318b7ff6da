// A log that the release 0.1 wrote: every later release must verify it and fold it to the same world.
// tests/golden/log-0.1.jsonl is an export; log-0.1.root.pem the root its signer leads to. Neither is ever
// changed.
#include <gtest/gtest.h>

#include "base/files.h"
#include "proto/audit.h"
#include "tests/support/describe_world.h"
#include "tests/support/log_fixture.h"

namespace cordon::controller {
namespace {

using namespace test;
using namespace kinds;

const std::filesystem::path kFolder = std::filesystem::path(CORDON_SOURCE_DIR) / "tests/golden";

/// One of every kind at least, as a small company would make them.
History company() {
  History h;
  h.add(installation());
  h.add(PolicyApplied{
      {{"web.toml",
        "[segments.web]\nmembers = [\"tag:web\"]\n[segments.web.services]\nsite = [\"tcp/443\"]\n"
        "[[allow]]\nname = \"web-to-web\"\nfrom = { segments = [\"web\"] }\nto = [\"web/site\"]\n"}}});
  h.add(join_token("t-waived"));
  h.add(join_token("t-by-hand", 2, false));
  h.add(enrolled("web", "t-waived", 1));
  h.add(enrolled("ledger", "t-by-hand", 2));
  h.add(DeviceApproved{DeviceId("ledger")});
  h.add(CertificateIssued{DeviceId("ledger"), "0a1b", h.now + std::chrono::hours(24)});
  h.add(DeviceTagged{DeviceId("ledger"), {"settlement"}});
  WireguardKey key{};
  key.fill(7);
  h.add(WireguardKeyChanged{DeviceId("ledger"), key});
  h.add(user("u-1", "trader@acme.example"));
  h.add(user("u-2", "clerk@acme.example"));
  h.add(session("s-1", "u-1", "ledger", 1000, h.now + std::chrono::hours(8)));
  h.add(session("s-2", "u-2", "ledger", 1001, h.now + Seconds(30)));
  h.add(session("s-3", "u-2", "web", 1001, h.now + std::chrono::hours(8)));
  h.add(SessionClosed{SessionId("s-3"), "signed out"});
  h.add(TimeAdvanced{}, Seconds(60));
  h.add(LoginSlowed{"u-2", DeviceId("ledger"), 10});
  h.add(DeviceIsolated{DeviceId("web"), "suspicious"});
  h.add(DeviceReleased{DeviceId("web")});
  h.add(UserDisabled{SubjectId("u-2"), true});
  h.add(ApiTokenCreated{{.id = TokenId("a-1"),
                         .role = "auditor",
                         .owner = "root@local",
                         .expires_at = h.now + std::chrono::hours(24)}});
  h.add(ApiTokenRevoked{TokenId("a-1")});
  h.add(JoinTokenRevoked{TokenId("t-by-hand")});
  h.add(DeviceRemoved{DeviceId("web"), "replaced"});
  return h;
}

/// CORDON_WRITE_GOLDEN=1 makes the files of a new release; they can't be made alike twice, as keys are
/// random.
void write_golden() {
  const TestAuthority authority;
  wire::ExportWriter writer;
  std::string text;
  const auto h = company();
  for (std::size_t i = 0; i < h.records.size(); ++i) {
    text += writer.record(h.records[i]);
    if (i % 4 == 3 || i + 1 == h.records.size()) text += writer.head(authority.sign(h.records[i]));
  }
  std::filesystem::create_directories(kFolder);
  must(write_file(kFolder / "log-0.1.jsonl", text));
  must(write_file(kFolder / "log-0.1.root.pem", authority.root_pem));
}

TEST(GoldenLog, OfRelease01FoldsToTheSameWorld) {
  if (std::getenv("CORDON_WRITE_GOLDEN") != nullptr) write_golden();
  const auto text = must(read_file(kFolder / "log-0.1.jsonl"));
  const wire::AuditOptions options{.trust_bundle_pem = must(read_file(kFolder / "log-0.1.root.pem"))};
  const auto report = wire::verify_export(text, options);
  ASSERT_TRUE(report.ok()) << report.fault->reason;

  policy::World world;
  std::set<std::size_t> kinds_met;
  wire::ExportReader reader;
  for (std::string_view rest = text; !rest.empty(); rest.remove_prefix(rest.find('\n') + 1)) {
    const auto line = must(reader.read(rest.substr(0, rest.find('\n'))));
    if (!line.record) continue;
    must(apply(world, *line.record, plain_name, system_time_zones()));
    kinds_met.insert(must(decode(line.record->kind, line.record->version, line.record->payload)).index());
  }
  EXPECT_EQ(kinds_met.size(), kKindsOfRelease01) << "every kind of the release is in it";
  EXPECT_EQ(to_hex(world.head), "142a964c447f5b22842b2631316d7904aed53fa7ccf7f3a965deaabe2798ab02");
  EXPECT_EQ(to_hex(sha256(as_bytes(describe(world)))),
            "41d298807cf9b1cde38598ce96d9120e2bf872d2ccacafa2a0ad25e045287f4e")
      << describe(world);
}

}  // namespace
}  // namespace cordon::controller
