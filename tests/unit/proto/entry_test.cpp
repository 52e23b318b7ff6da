#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <functional>

#include "tests/unit/proto/samples.h"

namespace cordon::wire {
namespace {

using policy::Change;

Entry entry_of(const Change& change) {
  return encode_entry(change.key, change.value ? &*change.value : nullptr);
}

TEST(Entries, EveryKindRoundTripsWithItsValueAndAsAKey) {
  const auto samples = sample_entries();
  ASSERT_EQ(samples.size(), std::variant_size_v<policy::Key>) << "a kind of entry has no sample";
  for (const auto& sample : samples) {
    const auto whole = decode_entry(entry_of(sample), false);
    ASSERT_TRUE(whole) << whole.error().message();
    EXPECT_EQ(*whole, sample);
    const auto key = decode_entry(encode_entry(sample.key, nullptr), true);
    ASSERT_TRUE(key) << key.error().message();
    EXPECT_EQ(*key, (Change{.key = sample.key, .value = std::nullopt}));
  }
}

TEST(Entries, NeverRoundTrips) {
  auto sample = sample_entries()[2];
  std::get<policy::PrincipalValue>(*sample.value).deadlines.fill(kNever);
  const Entry entry = entry_of(sample);
  EXPECT_EQ(entry.principal().deadlines_us_size(), 0);
  EXPECT_EQ(decode_entry(entry, false).value(), sample);
  std::get<policy::PrincipalValue>(*sample.value).deadlines[7] = from_us(1);
  EXPECT_EQ(entry_of(sample).principal().deadlines_us(0), INT64_MAX);
  EXPECT_EQ(decode_entry(entry_of(sample), false).value(), sample);
}

TEST(Entries, WhatIsLeftOutOfSettingsStaysOut) {
  const policy::SettingsValue bare{.device = DeviceId("ledger")};
  const policy::Value value = bare;
  const auto decoded = decode_entry(encode_entry(policy::SettingsKey{}, &value), false);
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(decoded->value, value);
}

// Made by protoc --encode=cordon.wire.Entry from the text forms beside them: numbers and meanings never
// change.
TEST(Entries, GoldenBytes) {
  const std::pair<std::size_t, const char*> golden[] = {
      // principal { address: "\144\100\000\001" class_id: 77 uid: 1000 check_owner: true
      //             deadlines_us: [1000000, 9223372036854775807, -5] }
      {2, "2a250a0464400001104d20e80728013216c0843dffffffffffffffff7ffbffffffffffffffff01"},
      // grant { direction: 1 class_id: 77 target: 3 protocol: 6 port_bits: 12 port: 4656
      //         rule: 9 responder: true slot: 7 lease_s: 60 }
      {4, "3a150801104d18032006280c30b024380948015007583c"},
      // rule { id: 9 name: "traders-settle" }
      {5, "42120809120e747261646572732d736574746c65"},
      // guard { protocol: 6 first_port: 443 last_port: 443 count_only: true }
      {6, "4a0a080610bb0318bb032001"},
  };
  for (const auto& [sample, bytes] : golden) {
    EXPECT_EQ(to_hex(as_bytes(entry_of(sample_entries()[sample]).SerializeAsString())), bytes);
  }
}

struct Bent {
  std::size_t sample;
  const char* field;
  std::function<void(Entry&)> bend;
};

TEST(Entries, ValuesOutOfRangeAreRefusedByName) {
  const std::vector<Bent> cases = {
      {0, "settings device", [](Entry& e) { e.mutable_settings()->set_device("Ledger"); }},
      {0, "settings device", [](Entry& e) { e.mutable_settings()->set_device(std::string(64, 'x')); }},
      {0, "node_lease_s", [](Entry& e) { e.mutable_settings()->set_node_lease_s(0); }},
      {0, "underlay", [](Entry& e) { e.mutable_settings()->set_underlay(3); }},
      {0, "settings v4", [](Entry& e) { e.mutable_settings()->set_v4(std::string(16, 'x')); }},
      {0, "settings v6", [](Entry& e) { e.mutable_settings()->set_v6("1234"); }},
      {0, "overlay_v4",
       [](Entry& e) { *e.mutable_settings()->mutable_overlay_v4() = e.settings().overlay_v6(); }},
      {0, "prefix", [](Entry& e) { e.mutable_settings()->mutable_overlay_v4()->set_length(33); }},
      {1, "public_key", [](Entry& e) { e.mutable_peer()->set_public_key(std::string(31, 'x')); }},
      {1, "next_public_key", [](Entry& e) { e.mutable_peer()->set_next_public_key("short"); }},
      {1, "next_public_key", [](Entry& e) { e.mutable_peer()->set_next_public_key(e.peer().public_key()); }},
      {1, "allowed_ips", [](Entry& e) { *e.mutable_peer()->add_allowed_ips() = e.peer().allowed_ips(0); }},
      {1, "prefix", [](Entry& e) { e.mutable_peer()->mutable_allowed_ips(0)->set_length(8); }},
      {2, "deadlines_us",
       [](Entry& e) {
         while (e.principal().deadlines_us_size() < 9) e.mutable_principal()->add_deadlines_us(1);
       }},
      {3, "target id", [](Entry& e) { e.mutable_target()->set_id(0); }},
      {4, "slot", [](Entry& e) { e.mutable_grant()->set_slot(8); }},
      {4, "lease_s", [](Entry& e) { e.mutable_grant()->set_lease_s(0); }},
      {5, "rule name", [](Entry& e) { e.mutable_rule()->clear_name(); }},
      {5, "rule name", [](Entry& e) { e.mutable_rule()->set_name(std::string(256, 'x')); }},
      {5, "rule name", [](Entry& e) { e.mutable_rule()->set_name("a\nb"); }},
      {7, "session user", [](Entry& e) { e.mutable_local_session()->clear_user(); }},
      {7, "session v4", [](Entry& e) { e.mutable_local_session()->set_v4("123"); }},
  };
  const auto samples = sample_entries();
  for (const auto& [sample, field, bend] : cases) {
    Entry entry = entry_of(samples[sample]);
    bend(entry);
    const auto decoded = decode_entry(entry, false);
    ASSERT_FALSE(decoded) << field;
    EXPECT_EQ(decoded.error().code, ErrorCode::protocol);
    EXPECT_NE(decoded.error().what.find(field), std::string::npos) << decoded.error().what;
    EXPECT_TRUE(decode_entry(entry, true)) << "the key alone is well-formed: " << field;
  }
}

TEST(Entries, KeysOutOfRangeAreRefusedByName) {
  const std::string mapped("\0\0\0\0\0\0\0\0\0\0\xff\xff\x64\x40\0\1", 16);
  const std::vector<Bent> cases = {
      {1, "peer device", [](Entry& e) { e.mutable_peer()->clear_device(); }},
      {2, "address", [](Entry& e) { e.mutable_principal()->set_address("12345"); }},
      {2, "address", [&](Entry& e) { e.mutable_principal()->set_address(mapped); }},
      {3, "prefix", [](Entry& e) { e.mutable_target()->mutable_prefix()->set_length(129); }},
      {3, "prefix", [](Entry& e) { e.mutable_target()->mutable_prefix()->set_length(127); }},
      {3, "address", [](Entry& e) { e.mutable_target()->clear_prefix(); }},
      {4, "direction", [](Entry& e) { e.mutable_grant()->set_direction(2); }},
      {4, "class_id", [](Entry& e) { e.mutable_grant()->set_class_id(0); }},
      {4, "target", [](Entry& e) { e.mutable_grant()->set_target(0); }},
      {4, "protocol", [](Entry& e) { e.mutable_grant()->set_protocol(256); }},
      {4, "port_bits", [](Entry& e) { e.mutable_grant()->set_port_bits(17); }},
      {4, "port_bits", [](Entry& e) { e.mutable_grant()->set_protocol(0); }},
      {4, "port", [](Entry& e) { e.mutable_grant()->set_port(65536); }},
      {4, "port", [](Entry& e) { e.mutable_grant()->set_port(0x1231); }},
      {4, "port", [](Entry& e) { e.mutable_grant()->set_port_bits(0); }},
      {5, "rule id", [](Entry& e) { e.mutable_rule()->set_id(0); }},
      {6, "protocol", [](Entry& e) { e.mutable_guard()->set_protocol(256); }},
      {6, "last_port", [](Entry& e) { e.mutable_guard()->set_last_port(65536); }},
      {6, "first_port", [](Entry& e) { e.mutable_guard()->set_first_port(444); }},
      {7, "session", [](Entry& e) { e.mutable_local_session()->set_session(std::string(65, 'x')); }},
      {7, "entry", [](Entry& e) { e.Clear(); }},
  };
  const auto samples = sample_entries();
  for (const auto& [sample, field, bend] : cases) {
    Entry entry = entry_of(samples[sample]);
    bend(entry);
    for (const bool key_only : {true, false}) {
      const auto decoded = decode_entry(entry, key_only);
      ASSERT_FALSE(decoded) << field;
      EXPECT_EQ(decoded.error().code, ErrorCode::protocol);
      EXPECT_NE(decoded.error().what.find(field), std::string::npos) << decoded.error().what;
    }
  }
}

TEST(Entries, FieldsFromTheFutureAreRefused) {
  // Field 100 inside a grant: it might narrow what the grant gives, so the grant isn't enforced without it.
  Entry entry = entry_of(sample_entries()[4]);
  entry.mutable_grant()->GetReflection()->MutableUnknownFields(entry.mutable_grant())->AddVarint(100, 1);
  Entry parsed;
  ASSERT_TRUE(parsed.ParseFromString(entry.SerializeAsString()));
  EXPECT_FALSE(decode_entry(parsed, false));
  Entry outer = entry_of(sample_entries()[4]);
  outer.GetReflection()->MutableUnknownFields(&outer)->AddVarint(100, 1);
  EXPECT_FALSE(decode_entry(outer, false));
  // So is a kind of entry that isn't known: its body reads as an unknown field.
  Entry future;
  future.GetReflection()->MutableUnknownFields(&future)->AddLengthDelimited(99, "x");
  EXPECT_FALSE(decode_entry(future, true));
}

TEST(Entries, EveryPrefixFailsCleanlyOrRoundTrips) {
  for (const auto& sample : sample_entries()) {
    const std::string whole = entry_of(sample).SerializeAsString();
    for (std::size_t size = 0; size < whole.size(); ++size) {
      Entry cut;
      if (!cut.ParseFromArray(whole.data(), static_cast<int>(size))) continue;
      if (const auto decoded = decode_entry(cut, false)) {
        EXPECT_EQ(decode_entry(entry_of(*decoded), false), *decoded);
      }
    }
  }
}

policy::GrantKey any_grant_key() {
  const auto bits = *rc::gen::inRange<unsigned>(0, 17);
  const auto port = *rc::gen::arbitrary<std::uint16_t>();
  return {.direction = static_cast<policy::Direction>(*rc::gen::inRange(0, 2)),
          .class_id = ClassId(*rc::gen::nonZero<std::uint64_t>()),
          .target = TargetId(*rc::gen::nonZero<std::uint32_t>()),
          .protocol = *rc::gen::nonZero<std::uint8_t>(),
          .port_bits = static_cast<std::uint8_t>(bits),
          .port = static_cast<std::uint16_t>(port & ~(0xffffu >> bits))};
}

cordon::Prefix any_prefix() {
  Address address{*rc::gen::arbitrary<std::array<std::uint8_t, 16>>()};
  if (*rc::gen::arbitrary<bool>()) address = Address::from_v4(address.v4_host_order());
  return cordon::Prefix::of(address, *rc::gen::inRange(0u, 129u));
}

Change any_change() {
  using namespace policy;
  switch (*rc::gen::inRange(0, 4)) {
    case 0: {
      std::vector<cordon::Prefix> prefixes(*rc::gen::inRange<std::size_t>(0, 5));
      std::ranges::generate(prefixes, any_prefix);
      std::ranges::sort(prefixes);
      prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
      return {PeerKey{DeviceId("d")},
              PeerValue{.public_key = *rc::gen::arbitrary<WireguardKey>(), .allowed_ips = prefixes}};
    }
    case 1: {
      PrincipalValue value{.class_id = ClassId(*rc::gen::arbitrary<std::uint64_t>()),
                           .isolated = *rc::gen::arbitrary<bool>(),
                           .uid = *rc::gen::arbitrary<std::uint32_t>(),
                           .check_owner = *rc::gen::arbitrary<bool>()};
      for (auto& deadline : value.deadlines) {
        deadline = *rc::gen::arbitrary<bool>() ? kNever : from_us(*rc::gen::arbitrary<std::int64_t>());
      }
      return {PrincipalKey{any_prefix().address}, value};
    }
    case 2:
      return {TargetKey{any_prefix()}, TargetValue{.id = TargetId(*rc::gen::nonZero<std::uint32_t>()),
                                                   .observe = *rc::gen::arbitrary<bool>()}};
    default:
      return {any_grant_key(), GrantValue{.rule = RuleId(*rc::gen::arbitrary<std::uint32_t>()),
                                          .deny = *rc::gen::arbitrary<bool>(),
                                          .responder = *rc::gen::arbitrary<bool>(),
                                          .slot = static_cast<std::uint8_t>(*rc::gen::inRange(0, 8)),
                                          .lease_s = *rc::gen::nonZero<std::uint32_t>()}};
  }
}

TEST(Entries, AnyChangeRoundTripsThroughBytes) {
  EXPECT_TRUE(rc::check([] {
    const Change change = any_change();
    Entry entry;
    RC_ASSERT(entry.ParseFromString(entry_of(change).SerializeAsString()));
    RC_ASSERT(decode_entry(entry, false).value() == change);
  }));
}

TEST(Addresses, OneEncodingForOneAddress) {
  using namespace std::string_view_literals;
  const auto four = "\xc0\x00\x02\x01"sv;
  EXPECT_EQ(encode_address(*Address::parse("192.0.2.1")), four);
  EXPECT_EQ(decode_address(four).value(), *Address::parse("192.0.2.1"));
  EXPECT_FALSE(decode_address(""));
  EXPECT_FALSE(decode_address(std::string(10, '\0') + "\xff\xff\x01\x02\x03\x04"));
}

}  // namespace
}  // namespace cordon::wire
