#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "proto/canonical_json.h"
#include "tests/support/log_fixture.h"

namespace cordon::controller {
namespace world_kinds_test {

using namespace test;

/// One of each kind and the payload that it has had since it was first written.
struct Sample {
  kinds::Kind kind;
  std::string name, payload;
  std::uint32_t version = 1;
};

const std::string kZeros64(64, '0');
const std::string kZeroKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

std::vector<Sample> samples() {
  const DeviceId ledger("ledger");
  policy::JoinToken join{
      .id = TokenId("t-1"), .tags = {"web", "a"}, .uses_left = 2, .expires_at = from_us(5)};
  auto waived = join;
  waived.ownership = policy::Ownership::vendor;
  waived.approve = true;
  waived.source = must(Prefix::parse("192.0.2.0/24"));
  const policy::ApiToken api{
      .id = TokenId("a-1"), .role = "viewer", .owner = "root@local", .expires_at = kNever};
  auto opened = session("s-1", "u-1", "trader", 1000, from_us(9));
  opened.session.claims = {"corp:trading"};
  opened.session.authenticated_at = from_us(7);
  return {
      {installation(), "installation created",
       R"({"node_lease_s":900,"overlay_v4":"100.64.0.0/10","overlay_v6":"fd12:3456:789a::/48","trust_domain":"acme.example"})"},
      {kinds::PolicyApplied{{{"a.toml", "[groups]\n\"é\""}}}, "policy applied",
       "{\"files\":[{\"name\":\"a.toml\",\"text\":\"[groups]\\n\\\"é\\\"\"}]}"},
      {kinds::PolicyApplied{{{"a.toml", ""}}, from_us(5), "2025b"}, "policy applied",
       R"({"confirm_by":5,"files":[{"name":"a.toml","text":""}],"tzdata":"2025b"})", 2},
      {kinds::PolicyConfirmed{Revision(7)}, "policy confirmed", R"({"revision":7})"},
      {kinds::PolicyRolledBack{Revision(7), "not confirmed in time"}, "policy rolled back",
       R"({"reason":"not confirmed in time","revision":7})"},
      {kinds::JoinTokenCreated{join}, "join token created",
       R"({"approve":false,"expires_at":5,"id":"t-1","ownership":null,"secret_hash":")" + kZeros64 +
           R"(","source":null,"tags":["a","web"],"uses":2})"},
      {kinds::JoinTokenCreated{waived}, "join token created",
       R"({"approve":true,"expires_at":5,"id":"t-1","ownership":"vendor","secret_hash":")" + kZeros64 +
           R"(","source":"192.0.2.0/24","tags":["a","web"],"uses":2})"},
      {kinds::JoinTokenRevoked{TokenId("t-1")}, "join token revoked", R"({"token":"t-1"})"},
      {kinds::DeviceEnrolled{ledger, TokenId("t-1"), {1, 2, 3}, {}, "Debian"}, "device enrolled",
       R"({"device":"ledger","platform":"Debian","public_key":"AQID","token":"t-1","wireguard_key":")" +
           kZeroKey + R"("})"},
      {kinds::DeviceEnrolled{ledger, TokenId("t-1"), {1, 2, 3}, {}, "Debian", true}, "device enrolled",
       R"({"device":"ledger","platform":"Debian","presharing":true,"public_key":"AQID","token":"t-1","wireguard_key":")" +
           kZeroKey + R"("})",
       2},
      {kinds::DeviceApproved{ledger}, "device approved", R"({"device":"ledger"})"},
      {kinds::DeviceRemoved{ledger, "sold"}, "device removed", R"({"device":"ledger","reason":"sold"})"},
      {kinds::DeviceTagged{ledger, {"b", "a"}}, "device tagged", R"({"device":"ledger","tags":["a","b"]})"},
      {kinds::DeviceClassified{ledger, policy::Ownership::partner}, "device classified",
       R"({"device":"ledger","ownership":"partner"})"},
      {kinds::DeviceClassified{ledger, std::nullopt}, "device classified",
       R"({"device":"ledger","ownership":null})"},
      {kinds::DeviceFacts{ledger, std::set<std::string>{"os_updates", "configuration"},
                          policy::Attestation::tpm, must(Address::parse("198.51.100.20")), "TW"},
       "device facts",
       R"({"attestation":"tpm","checks":["configuration","os_updates"],"country":"TW","device":"ledger","source":"198.51.100.20"})"},
      {kinds::DeviceFacts{.device = ledger,
                          .source = must(Address::parse("2001:db8::7")),
                          .country = "TW",
                          .country_database = "Test-Country 5"},
       "device facts",
       R"({"attestation":null,"checks":null,"country":"TW","country_database":"Test-Country 5","device":"ledger","source":"2001:db8::7"})"},
      {kinds::DeviceFacts{.device = ledger}, "device facts",
       R"({"attestation":null,"checks":null,"country":null,"device":"ledger","source":null})"},
      {kinds::DeviceIsolated{ledger, ""}, "device isolated", R"({"device":"ledger","reason":""})"},
      {kinds::DeviceReleased{ledger}, "device released", R"({"device":"ledger"})"},
      {kinds::WireguardKeyChanged{ledger, {}}, "wireguard key changed",
       R"({"device":"ledger","wireguard_key":")" + kZeroKey + R"("})"},
      {kinds::KeyRotationAsked{ledger}, "key rotation asked", R"({"device":"ledger"})"},
      {kinds::WireguardKeyOffered{ledger, {}}, "wireguard key offered",
       R"({"device":"ledger","wireguard_key":")" + kZeroKey + R"("})"},
      {kinds::CertificateIssued{ledger, "0a", from_us(3)}, "certificate issued",
       R"({"device":"ledger","not_after":3,"serial":"0a"})"},
      {user("u-1", "c2VhbGVk"), "user added", R"({"issuer":"local","sealed_name":"c2VhbGVk","user":"u-1"})"},
      {kinds::UserDisabled{SubjectId("u-1"), true}, "user disabled", R"({"disabled":true,"user":"u-1"})"},
      {opened, "session opened",
       R"({"assurance":"aal2","authenticated_at":7,"claims":["corp:trading"],"device":"trader","ends_at":9,"id":"s-1","uid":1000,"user":"u-1"})"},
      {kinds::SessionClosed{SessionId("s-1"), "signed out"}, "session closed",
       R"({"reason":"signed out","session":"s-1"})"},
      {kinds::SessionSignals{SessionId("s-1"),
                             {{"unusual hour", 10, kNever}, {"new country", 30, from_us(8)}}},
       "session signals",
       R"({"session":"s-1","signals":[{"cost":30,"name":"new country","until":8},{"cost":10,"name":"unusual hour","until":9223372036854775807}]})"},
      {kinds::ApiTokenCreated{api}, "api token created",
       R"({"expires_at":9223372036854775807,"id":"a-1","owner":"root@local","role":"viewer","secret_hash":")" +
           kZeros64 + R"("})"},
      {kinds::ApiTokenRevoked{TokenId("a-1")}, "api token revoked", R"({"token":"a-1"})"},
      {kinds::TimeAdvanced{}, "time advanced", "{}"},
      {kinds::LoginSlowed{"unknown", ledger, 10}, "login slowed",
       R"({"account":"unknown","device":"ledger","failures":10})"},
      {kinds::FormatRaised{}, "format raised", R"({"format":3})"},
      {kinds::DeviceAdded{
           .device = DeviceId("printer"),
           .gateway = DeviceId("gw-1"),
           .prefixes = {must(Prefix::parse("192.168.7.20/32")), must(Prefix::parse("192.168.100.0/24"))},
           .tags = {"print", "a"},
           .ownership = policy::Ownership::company},
       "device added",
       R"({"device":"printer","gateway":"gw-1","ownership":"company","prefixes":["192.168.100.0/24","192.168.7.20/32"],"tags":["a","print"]})"},
  };
}

TEST(Kinds, HaveGoldenPayloads) {
  std::set<std::size_t> seen;
  for (const auto& sample : samples()) {
    const auto proposal = kinds::encode("root@local", sample.kind);
    EXPECT_EQ(proposal.kind, sample.name);
    EXPECT_EQ(proposal.version, sample.version);
    EXPECT_EQ(proposal.payload, sample.payload);
    seen.insert(sample.kind.index());
  }
  EXPECT_EQ(seen.size(), std::variant_size_v<kinds::Kind>);
}

TEST(Kinds, DecodeToWhatWasEncoded) {
  for (const auto& sample : samples()) {
    const auto decoded = kinds::decode(sample.name, sample.version, sample.payload);
    ASSERT_TRUE(decoded) << sample.name << ": " << decoded.error().message();
    EXPECT_EQ(decoded->index(), sample.kind.index());
    EXPECT_EQ(kinds::encode("", *decoded).payload, sample.payload);
  }
}

TEST(Kinds, RefuseEveryMissingKeyByName) {
  for (const auto& sample : samples()) {
    const auto object = boost::json::parse(sample.payload).as_object();
    for (const auto& [key, value] : object) {
      if (key == "country_database") continue;  // may be left out
      auto less = object;
      less.erase(key);
      const auto decoded = kinds::decode(sample.name, sample.version, wire::canonical(less));
      ASSERT_FALSE(decoded) << sample.name << " without " << key;
      EXPECT_EQ(decoded.error().code, ErrorCode::invalid);
      EXPECT_EQ(decoded.error().what, sample.name + ": \"" + std::string(key) + "\" is missing");
    }
  }
}

TEST(Kinds, RefuseUnknownKeysAndWrongTypes) {
  for (const auto& sample : samples()) {
    const auto object = boost::json::parse(sample.payload).as_object();
    auto more = object;
    more["zz_unknown"] = 1;
    const auto decoded = kinds::decode(sample.name, sample.version, wire::canonical(more));
    ASSERT_FALSE(decoded) << sample.name;
    EXPECT_EQ(decoded.error().what, sample.name + ": \"zz_unknown\" is unknown");
    for (const auto& [key, value] : object) {
      auto other = object;
      other[key] = boost::json::object{{"x", 1}};
      EXPECT_FALSE(kinds::decode(sample.name, sample.version, wire::canonical(other)))
          << sample.name << " " << key;
    }
  }
}

TEST(Kinds, RefuseUnknownKindsVersionsAndTextThatIsNotCanonical) {
  EXPECT_FALSE(kinds::decode("device exploded", 1, "{}"));
  EXPECT_FALSE(kinds::decode("time advanced", 2, "{}"));
  EXPECT_FALSE(kinds::decode("time advanced", 0, "{}"));
  for (const std::string_view text :
       {"", "{", "[]", "null", "{} ", " {}", "{}{}", R"({ "device":"x"})", R"({"device":"x","device":"x"})",
        R"({"device":"\u0078"})", "{\"device\":\"\xff\"}", R"({"device":""})", R"({"device":"a b"})"}) {
    EXPECT_FALSE(kinds::decode("device approved", 1, text)) << text;
  }
  // Each version has one form: a version 2 without what makes it one would be a version 1.
  EXPECT_FALSE(kinds::decode("policy applied", 1, R"({"confirm_by":5,"files":[],"tzdata":"2025b"})"));
  EXPECT_FALSE(kinds::decode("policy applied", 2, R"({"files":[]})"));
  EXPECT_FALSE(kinds::decode("policy applied", 2, R"({"confirm_by":5,"files":[],"tzdata":""})"));
  EXPECT_FALSE(kinds::decode("policy applied", 3, R"({"confirm_by":5,"files":[],"tzdata":"2025b"})"));
  EXPECT_FALSE(kinds::decode(
      "device facts", 1, R"({"attestation":null,"checks":null,"country":"tw","device":"x","source":null})"));
  EXPECT_FALSE(kinds::decode(
      "device facts", 1, R"({"attestation":"sgx","checks":null,"country":null,"device":"x","source":null})"));
  EXPECT_FALSE(kinds::decode(
      "device facts", 1,
      R"({"attestation":null,"checks":null,"country":null,"country_database":"","device":"x","source":null})"));
  EXPECT_FALSE(kinds::decode("session signals", 1,
                             R"({"session":"s-1","signals":[{"cost":101,"name":"x","until":1}]})"));
  EXPECT_FALSE(kinds::decode("user disabled", 1, R"({"user":"u-1","disabled":true})"));
  EXPECT_FALSE(kinds::decode("device tagged", 1, R"({"device":"x","tags":["b","a"]})"));
  EXPECT_FALSE(kinds::decode("device tagged", 1, R"({"device":"x","tags":["a","a"]})"));
  EXPECT_FALSE(kinds::decode("certificate issued", 1, R"({"device":"x","not_after":3.0,"serial":"0a"})"));
  EXPECT_FALSE(kinds::decode("certificate issued", 1, R"({"device":"x","not_after":-1,"serial":"0a"})"));
}

TEST(Kinds, TouchWhatTheyCouldDisagreeAbout) {
  using T = std::vector<std::string>;
  EXPECT_EQ(kinds::touches(kinds::TimeAdvanced{}), T{"*"});
  EXPECT_EQ(kinds::touches(kinds::PolicyApplied{}), T{"*"});
  EXPECT_EQ(kinds::touches(kinds::PolicyConfirmed{}), T{"*"});
  EXPECT_EQ(kinds::touches(kinds::PolicyRolledBack{}), T{"*"});
  EXPECT_EQ(kinds::touches(kinds::DeviceFacts{.device = DeviceId("a")}), T{"device/a"});
  EXPECT_EQ(kinds::touches(kinds::SessionSignals{SessionId("s"), {}}), T{"session/s"});
  EXPECT_EQ(kinds::touches(kinds::DeviceIsolated{DeviceId("a"), ""}), T{"device/a"});
  EXPECT_EQ(kinds::touches(session("s", "u", "d", 1, kNever)), (T{"session/s", "device/d", "user/u"}));
  for (const auto& sample : samples()) {
    const bool only_tells = std::holds_alternative<kinds::LoginSlowed>(sample.kind);
    EXPECT_EQ(kinds::touches(sample.kind).empty(), only_tells) << sample.name;
  }
}

}  // namespace world_kinds_test
}  // namespace cordon::controller
