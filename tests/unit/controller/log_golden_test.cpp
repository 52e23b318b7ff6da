// A log that the release 0.1 wrote: every later release must verify it and fold it to the same world.
// tests/golden/log-0.1.jsonl is an export; log-0.1.root.pem the root its signer leads to. Neither is ever
// changed. What was added since has a log of its own.
#include <gtest/gtest.h>

#include "base/files.h"
#include "controller/core/fold_log.h"
#include "proto/audit.h"
#include "tests/support/describe_world.h"
#include "tests/support/log_fixture.h"

namespace cordon::controller {
namespace log_golden_test {

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

/// What came after it: a policy's life, facts, signals.
History company_since() {
  History h;
  const auto policy = [&](const std::string& rule) {
    return PolicyApplied{
        {{"web.toml",
          "[segments.web]\nmembers = [\"tag:web\"]\n[segments.web.services]\nsite = [\"tcp/443\"]\n"
          "[groups]\nstaff = { users = [\"trader@acme.example\"] }\n"
          "[[allow]]\nname = \"" +
              rule +
              "\"\nfrom = { groups = [\"staff\"] }\nto = [\"web/site\"]\n"
              "when = { hours = \"Mon-Fri 08:00-18:00\", timezone = \"Asia/Taipei\", require = "
              "[\"os_updates\"] }\n"}},
        h.now + Seconds(301),
        "2025b"};
  };
  h.add(installation());
  h.add(join_token("t-waived"));
  h.add(enrolled("laptop", "t-waived", 1));
  h.add(PolicyConfirmed{h.add(policy("kept")).revision});
  h.add(PolicyRolledBack{h.add(policy("lost")).revision, "not confirmed in time"});
  h.add(policy("waits"));
  h.add(DeviceClassified{DeviceId("laptop"), policy::Ownership::personal});
  h.add(DeviceFacts{DeviceId("laptop"), std::set<std::string>{"os_updates"}, policy::Attestation::software,
                    must(Address::parse("198.51.100.20")), "TW"});
  h.add(user("u-1", "trader@acme.example"));
  h.add(session("s-1", "u-1", "laptop", 1000, h.now + std::chrono::hours(8)));
  h.add(SessionSignals{SessionId("s-1"), {{"new country", 30, h.now + std::chrono::hours(1)}}});
  return h;
}

/// A WireGuard key that turns.
History company_rotates() {
  History h;
  h.add(installation());
  h.add(join_token("t-waived"));
  auto made = enrolled("ledger", "t-waived", 1);
  made.presharing = true;
  h.add(made);
  h.add(enrolled("web", "t-waived", 2));
  WireguardKey key{};
  key.fill(7);
  h.add(KeyRotationAsked{DeviceId("ledger")});
  h.add(WireguardKeyOffered{DeviceId("ledger"), key});
  h.add(WireguardKeyChanged{DeviceId("ledger"), key});
  key.fill(8);
  h.add(WireguardKeyOffered{DeviceId("web"), key});
  h.add(KeyRotationAsked{DeviceId("web")});
  return h;
}

/// A log of release 0.1 that a controller of today goes on with.
History company_raised() {
  History h = company();
  h.add(FormatRaised{2});
  h.add(join_token("t-more"));
  auto made = enrolled("laptop", "t-more", 3);
  made.presharing = true;
  h.add(made);
  h.add(DeviceFacts{.device = DeviceId("laptop"), .checks = std::set<std::string>{"os_updates"}});
  return h;
}

/// What stands behind a gateway, while that is let in, isolated and released.
History company_behind() {
  History h;
  h.add(installation());
  h.add(FormatRaised{3});
  h.add(join_token("t-by-hand", 2, false));
  h.add(enrolled("gw-1", "t-by-hand", 1));
  const auto add = [&](const std::string& name, const std::vector<std::string>& prefixes) {
    DeviceAdded added{.device = DeviceId(name),
                      .gateway = DeviceId("gw-1"),
                      .prefixes = {},
                      .tags = {"print"},
                      .ownership = {}};
    for (const std::string& prefix : prefixes) added.prefixes.push_back(must(Prefix::parse(prefix)));
    h.add(added);
  };
  add("printer", {"192.168.7.20/32", "2001:db8:7::20/128"});
  add("plant", {"10.20.0.0/16"});
  add("sold", {"192.168.7.21/32"});
  h.add(DeviceApproved{DeviceId("gw-1")});
  h.add(DeviceIsolated{DeviceId("printer"), "odd traffic"});
  h.add(DeviceTagged{DeviceId("plant"), {"plant"}});
  h.add(DeviceClassified{DeviceId("plant"), policy::Ownership::partner});
  h.add(DeviceRemoved{DeviceId("sold"), "sold"});
  h.add(DeviceIsolated{DeviceId("gw-1"), "odd traffic"});
  return h;
}

/// CORDON_WRITE_GOLDEN=NAME makes the files of a new release; they can't be made alike twice, as keys are
/// random.
void write_golden(const std::string& name, const History& h) {
  const char* wanted = std::getenv("CORDON_WRITE_GOLDEN");
  if (wanted == nullptr || name != wanted) return;
  const TestAuthority authority;
  wire::ExportWriter writer;
  std::string text;
  for (std::size_t i = 0; i < h.records.size(); ++i) {
    text += writer.record(h.records[i]);
    if (i % 4 == 3 || i + 1 == h.records.size()) text += writer.head(authority.sign(h.records[i]));
  }
  std::filesystem::create_directories(kFolder);
  must(write_file(kFolder / (name + ".jsonl"), text));
  must(write_file(kFolder / (name + ".root.pem"), authority.root_pem));
}

/// A golden log, verified and folded.
struct Golden {
  policy::World world;
  std::set<std::size_t> kinds;
  std::uint32_t format = 1;

  explicit Golden(const std::string& name) {
    const auto text = must(read_file(kFolder / (name + ".jsonl")));
    const wire::AuditOptions options{.trust_bundle_pem = must(read_file(kFolder / (name + ".root.pem")))};
    const auto report = wire::verify_export(text, options);
    EXPECT_TRUE(report.ok()) << report.fault->reason;
    wire::ExportReader reader;
    for (std::string_view rest = text; !rest.empty(); rest.remove_prefix(rest.find('\n') + 1)) {
      const auto line = must(reader.read(rest.substr(0, rest.find('\n'))));
      if (!line.record) continue;
      must(apply(world, *line.record, plain_name, system_time_zones()));
      format = format_after(format, *line.record);
      kinds.insert(must(decode(line.record->kind, line.record->version, line.record->payload)).index());
    }
  }
};

TEST(GoldenLog, OfRelease01FoldsToTheSameWorld) {
  write_golden("log-0.1", company());
  const Golden golden("log-0.1");
  EXPECT_EQ(golden.kinds.size(), kKindsOfRelease01) << "every kind of the release is in it";
  EXPECT_EQ(to_hex(golden.world.head), "142a964c447f5b22842b2631316d7904aed53fa7ccf7f3a965deaabe2798ab02");
  EXPECT_EQ(to_hex(sha256(as_bytes(describe(golden.world)))),
            "41d298807cf9b1cde38598ce96d9120e2bf872d2ccacafa2a0ad25e045287f4e")
      << describe(golden.world);
}

TEST(GoldenLog, WithTheKindsSinceFoldsToTheSameWorld) {
  write_golden("log-policy-life", company_since());
  const Golden golden("log-policy-life");
  EXPECT_EQ(to_hex(golden.world.head), "2e7adc4751824a691102ad4bd459d171e54c658760f1a734f8b526edb5b81d9d");
  EXPECT_EQ(to_hex(sha256(as_bytes(describe(golden.world) + describe_since(golden.world)))),
            "d3f0776cf8769ed096898150ff0b8143eb48b94c02555439d176a277ee0c96f9")
      << describe(golden.world) << describe_since(golden.world);
}

TEST(GoldenLog, WithAKeyThatTurnsFoldsToTheSameWorld) {
  write_golden("log-key-rotation", company_rotates());
  const Golden golden("log-key-rotation");
  EXPECT_EQ(to_hex(golden.world.head), "40a1a8acdf253527ff8ff9c25465f083b8db86297da6cff3b5ec6eabf513f4d0");
  EXPECT_EQ(to_hex(sha256(as_bytes(describe(golden.world) + describe_keys(golden.world)))),
            "8f5f5342c0915234b3948b59555f921cb5c38bc81aba9138104416d0da3a1f24")
      << describe(golden.world) << describe_keys(golden.world);
}

TEST(GoldenLog, OfRelease01RaisedAndGoneOnWithFoldsToTheSameWorld) {
  write_golden("log-raised", company_raised());
  const Golden golden("log-raised");
  EXPECT_EQ(golden.format, 2u);
  EXPECT_EQ(Golden("log-0.1").format, 1u);
  EXPECT_EQ(to_hex(golden.world.head), "f4a99c6fc700e4f4e478852d13c72704d236fb94e74a0a7bbe0412e124dc3c3f");
  const std::string told =
      describe(golden.world) + describe_since(golden.world) + describe_keys(golden.world);
  EXPECT_EQ(to_hex(sha256(as_bytes(told))),
            "9772f8b5dc2b5a9868ed5d4296e43a2627c35e7f8b997b97f200773d74db4913")
      << told;
}

TEST(GoldenLog, WithWhatIsBehindAGatewayFoldsToTheSameWorld) {
  write_golden("log-behind", company_behind());
  const Golden golden("log-behind");
  EXPECT_EQ(golden.format, 3u);
  EXPECT_EQ(to_hex(golden.world.head), "e54caccd6712cba474279b0e20d470a1cb89e01789f88d7378893dbe48620c01");
  const std::string told =
      describe(golden.world) + describe_since(golden.world) + describe_behind(golden.world);
  EXPECT_EQ(to_hex(sha256(as_bytes(told))),
            "cfa3f3379ed1e5b004541530f3871bd3be16ecc863d4e712051d890d1e7c6ec4")
      << told;
}

TEST(GoldenLog, EveryKindStandsInOne) {
  std::set<std::size_t> seen;
  for (const char* name : {"log-0.1", "log-policy-life", "log-key-rotation", "log-raised", "log-behind"})
    seen.merge(std::set<std::size_t>(Golden(name).kinds));
  for (std::size_t kind = 0; kind < std::variant_size_v<Kind>; ++kind)
    EXPECT_TRUE(seen.contains(kind)) << kind;
}

}  // namespace log_golden_test
}  // namespace cordon::controller
