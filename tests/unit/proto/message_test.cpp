#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "proto/features.h"
#include "tests/unit/proto/samples.h"

namespace cordon::wire {
namespace {

using google::protobuf::util::MessageDifferencer;

Result<ToController> decode(const ToController& m) {
  return decode_to_controller(m.SerializeAsString());
}
Result<ToNode> decode(const ToNode& m) {
  return decode_to_node(m.SerializeAsString());
}

template <class Message>
void expect_all_kinds_round_trip(const std::vector<Message>& samples, int kinds) {
  std::set<int> seen;
  for (const auto& sample : samples) {
    const auto decoded = decode(sample);
    ASSERT_TRUE(decoded) << sample.ShortDebugString() << ": " << decoded.error().message();
    EXPECT_TRUE(MessageDifferencer::Equals(*decoded, sample));
    seen.insert(sample.body_case());
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kinds)) << "a kind of message has no sample";
}

TEST(Messages, EveryKindRoundTrips) {
  expect_all_kinds_round_trip(sample_to_controller(), ToController::descriptor()->field_count());
  expect_all_kinds_round_trip(sample_to_node(), ToNode::descriptor()->field_count());
}

/// A prefix is refused, or is a message in itself (cut between two fields) that keeps every rule.
template <class Message>
void expect_prefixes_are_safe(const Message& sample,
                              const std::function<Result<Message>(std::string_view)>& decoder) {
  const std::string whole = sample.SerializeAsString();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto decoded = decoder(std::string_view(whole).substr(0, size));
    if (!decoded) {
      EXPECT_EQ(decoded.error().code, ErrorCode::protocol);
      EXPECT_FALSE(decoded.error().what.empty());
    } else {
      EXPECT_TRUE(decode(*decoded)) << decoded->ShortDebugString();
    }
  }
}

TEST(Messages, EveryPrefixFailsCleanlyOrIsAMessageOfItsOwn) {
  for (const auto& m : sample_to_controller())
    expect_prefixes_are_safe<ToController>(m, decode_to_controller);
  for (const auto& m : sample_to_node()) expect_prefixes_are_safe<ToNode>(m, decode_to_node);
}

TEST(Messages, EveryBentByteFailsCleanlyOrIsAMessageOfItsOwn) {
  for (const auto& sample : sample_to_node()) {
    std::string bytes = sample.SerializeAsString();
    for (char& byte : bytes) {
      for (const char mask : {'\x01', '\x08', '\x80', '\xff'}) {
        byte = static_cast<char>(byte ^ mask);
        if (const auto decoded = decode_to_node(bytes)) {
          EXPECT_TRUE(decode(*decoded));
        }
        byte = static_cast<char>(byte ^ mask);
      }
    }
  }
}

TEST(Messages, OnesWithoutAKnownBodyAreRefused) {
  EXPECT_EQ(decode_to_controller("").error().code, ErrorCode::protocol);
  EXPECT_EQ(decode_to_node("").error().code, ErrorCode::protocol);
  // Field 100, which no release has used: a kind of message from the future.
  const std::string future("\xa2\x06\x01x", 4);
  EXPECT_FALSE(decode_to_controller(future));
  EXPECT_FALSE(decode_to_node(future));
  EXPECT_FALSE(decode_to_node(std::string((4u << 20) + 1, 'x')));
}

template <class Message>
struct Bent {
  typename Message::BodyCase kind;
  const char* field;
  std::function<void(Message&)> bend;
};

template <class Message>
void expect_refused(const std::vector<Message>& samples, const std::vector<Bent<Message>>& cases) {
  for (const auto& [kind, field, bend] : cases) {
    for (auto sample : samples) {
      if (sample.body_case() != kind) continue;
      bend(sample);
      const auto decoded = decode(sample);
      ASSERT_FALSE(decoded) << field;
      EXPECT_EQ(decoded.error().code, ErrorCode::protocol);
      EXPECT_NE(decoded.error().what.find(field), std::string::npos) << decoded.error().what;
    }
  }
}

TEST(Messages, ToControllerFieldsOutOfRangeAreRefusedByName) {
  const std::string long_text(5000, 'x'), pem(70'000, 'x');
  expect_refused<ToController>(
      sample_to_controller(),
      {
          {ToController::kEnrol, "token_secret",
           [](auto& m) { m.mutable_enrol()->set_token_secret("short"); }},
          {ToController::kEnrol, "token_id", [&](auto& m) { m.mutable_enrol()->set_token_id(long_text); }},
          {ToController::kEnrol, "wireguard_public_key",
           [](auto& m) { m.mutable_enrol()->clear_wireguard_public_key(); }},
          {ToController::kEnrol, "csr_pem", [&](auto& m) { m.mutable_enrol()->set_csr_pem(pem); }},
          {ToController::kEnrolPoll, "enrol poll device",
           [](auto& m) { m.mutable_enrol_poll()->set_device("Ledger"); }},
          {ToController::kHello, "seen_hash", [](auto& m) { m.mutable_hello()->set_seen_hash("short"); }},
          {ToController::kHello, "state_digest",
           [](auto& m) { m.mutable_hello()->set_state_digest(std::string(33, 'x')); }},
          {ToController::kHello, "wireguard_port",
           [](auto& m) { m.mutable_hello()->set_wireguard_port(65536); }},
          {ToController::kHello, "address",
           [](auto& m) { m.mutable_hello()->mutable_advertise(0)->set_address("123"); }},
          {ToController::kHello, "port",
           [](auto& m) { m.mutable_hello()->mutable_advertise(0)->set_port(65536); }},
          {ToController::kHello, "prefix",
           [](auto& m) { m.mutable_hello()->mutable_gateway_subnets(0)->set_length(33); }},
          {ToController::kHello, "prefix",
           [](auto& m) { m.mutable_hello()->mutable_gateway_subnets(0)->set_length(23); }},
          {ToController::kHello, "gateway_subnets",
           [](auto& m) {
             for (std::size_t i = 0; i < kMostSubnets; ++i)
               *m.mutable_hello()->add_gateway_subnets() = m.hello().gateway_subnets(0);
           }},
          {ToController::kHello, "feature", [](auto& m) { m.mutable_hello()->add_features("a\nb"); }},
          {ToController::kAck, "receipt digest",
           [](auto& m) { m.mutable_ack()->mutable_receipt()->clear_digest(); }},
          {ToController::kAck, "receipt head_hash",
           [](auto& m) { m.mutable_ack()->mutable_receipt()->set_head_hash("x"); }},
          {ToController::kNack, "nack reason", [&](auto& m) { m.mutable_nack()->set_reason(long_text); }},
          {ToController::kHeartbeat, "heartbeat peer",
           [](auto& m) { m.mutable_heartbeat()->mutable_peers(0)->clear_device(); }},
          {ToController::kHeartbeat, "age",
           [](auto& m) { m.mutable_heartbeat()->mutable_peers(0)->set_last_handshake_age_s(-2); }},
          {ToController::kHeartbeat, "alarm", [](auto& m) { m.mutable_heartbeat()->add_alarms("\x1b[31m"); }},
          {ToController::kHeartbeat, "heartbeat check",
           [](auto& m) { m.mutable_heartbeat()->mutable_checks()->add_passing("os updates"); }},
          {ToController::kHeartbeat, "heartbeat checks",
           [](auto& m) {
             for (int i = 0; i < 65; ++i) m.mutable_heartbeat()->mutable_checks()->add_passing("x");
           }},
          {ToController::kHeartbeat, "heartbeat session",
           [](auto& m) { m.mutable_heartbeat()->mutable_sessions(0)->clear_session(); }},
          {ToController::kHeartbeat, "heartbeat session",
           [](auto& m) { m.mutable_heartbeat()->mutable_sessions(0)->set_session("s\n1"); }},
          {ToController::kHeartbeat, "heartbeat sessions",
           [](auto& m) {
             for (int i = 0; i < 4096; ++i) m.mutable_heartbeat()->add_sessions()->set_session("s-1");
           }},
          {ToController::kHeartbeat, "heartbeat counted reason",
           [](auto& m) { m.mutable_heartbeat()->mutable_counted()->mutable_reasons(0)->set_reason("a\nb"); }},
          {ToController::kHeartbeat, "heartbeat counted rules",
           [](auto& m) {
             for (int i = 0; i < 65536; ++i)
               m.mutable_heartbeat()->mutable_counted()->add_rules()->set_rule(1);
           }},
          {ToController::kLogin, "login user", [](auto& m) { m.mutable_login()->clear_user(); }},
          {ToController::kLogin, "login password",
           [&](auto& m) { m.mutable_login()->set_password(long_text); }},
          {ToController::kWhy, "why target", [](auto& m) { m.mutable_why()->set_target("a\tb"); }},
          {ToController::kWhy, "why protocol", [](auto& m) { m.mutable_why()->set_protocol(256); }},
          {ToController::kWhy, "why port", [](auto& m) { m.mutable_why()->set_port(65536); }},
          {ToController::kEnrol, "enrol feature", [](auto& m) { m.mutable_enrol()->add_features("a\nb"); }},
          {ToController::kTunnelKeys, "public_key",
           [](auto& m) { m.mutable_tunnel_keys()->clear_public_key(); }},
          {ToController::kTunnelKeys, "next_public_key",
           [](auto& m) { m.mutable_tunnel_keys()->set_next_public_key("short"); }},
          {ToController::kTunnelKeys, "next_public_key",
           [](auto& m) { m.mutable_tunnel_keys()->set_next_public_key(m.tunnel_keys().public_key()); }},
          {ToController::kFlows, "flow kind",
           [](auto& m) { m.mutable_flows()->mutable_flows(0)->set_kind(static_cast<Flow::Kind>(9)); }},
          {ToController::kFlows, "address",
           [](auto& m) { m.mutable_flows()->mutable_flows(0)->clear_source(); }},
          {ToController::kFlows, "flow protocol",
           [](auto& m) { m.mutable_flows()->mutable_flows(0)->set_protocol(256); }},
          {ToController::kFlows, "flow direction",
           [](auto& m) { m.mutable_flows()->mutable_flows(0)->set_direction(2); }},
      });
}

TEST(Messages, ToNodeFieldsOutOfRangeAreRefusedByName) {
  const std::string long_text(5000, 'x'), pem(70'000, 'x');
  expect_refused<ToNode>(
      sample_to_node(),
      {
          {ToNode::kEnrolled, "outcome",
           [](auto& m) { m.mutable_enrolled()->set_outcome(static_cast<EnrolAnswer::Outcome>(7)); }},
          {ToNode::kEnrolled, "enrolled device", [](auto& m) { m.mutable_enrolled()->set_device("../x"); }},
          {ToNode::kEnrolled, "certificate_pem",
           [&](auto& m) { m.mutable_enrolled()->set_certificate_pem(pem); }},
          {ToNode::kWelcome, "head hash",
           [](auto& m) { m.mutable_welcome()->mutable_head()->set_hash("x"); }},
          {ToNode::kBegin, "head hash", [](auto& m) { m.mutable_begin()->mutable_head()->clear_hash(); }},
          {ToNode::kHeartbeat, "head signature",
           [&](auto& m) { m.mutable_heartbeat()->mutable_head()->set_signature(long_text); }},
          {ToNode::kEnd, "state digest", [](auto& m) { m.mutable_end()->clear_digest(); }},
          {ToNode::kDelta, "delta digest", [](auto& m) { m.mutable_delta()->set_digest("x"); }},
          {ToNode::kLogin, "reach target",
           [](auto& m) { m.mutable_login()->mutable_reach(0)->set_target("a b"); }},
          {ToNode::kStatus, "address",
           [](auto& m) { m.mutable_status()->mutable_reach(0)->add_addresses("x"); }},
          {ToNode::kEndpoints, "endpoints device",
           [](auto& m) { m.mutable_endpoints()->mutable_peers(0)->clear_device(); }},
          {ToNode::kEndpoints, "address",
           [](auto& m) { m.mutable_endpoints()->mutable_peers(0)->clear_endpoint(); }},
          {ToNode::kKeyOrder, "turn_to", [](auto& m) { m.mutable_key_order()->set_turn_to("short"); }},
          {ToNode::kPresharedKeys, "preshared_keys own",
           [](auto& m) { m.mutable_preshared_keys()->mutable_keys(0)->clear_own(); }},
          {ToNode::kPresharedKeys, "preshared_keys peer",
           [](auto& m) { m.mutable_preshared_keys()->mutable_keys(0)->set_peer("short"); }},
          {ToNode::kPresharedKeys, "preshared_keys key",
           [](auto& m) { m.mutable_preshared_keys()->mutable_keys(0)->set_key(std::string(33, 'x')); }},
          {ToNode::kKeyTurns, "key_turns device", [](auto& m) { m.mutable_key_turns()->add_devices("A"); }},
          {ToNode::kControllers, "names none", [](auto& m) { m.mutable_controllers()->clear_endpoints(); }},
          {ToNode::kControllers, "controllers endpoint",
           [](auto& m) { m.mutable_controllers()->mutable_endpoints(0)->set_port(0); }},
          {ToNode::kControllers, "controllers endpoint",
           [](auto& m) { m.mutable_controllers()->mutable_endpoints(0)->set_address(std::string(4, '\0')); }},
          {ToNode::kControllers, "controllers",
           [](auto& m) {
             while (m.controllers().endpoints_size() <= static_cast<int>(kMostControllers))
               *m.mutable_controllers()->add_endpoints() = m.controllers().endpoints(0);
           }},
          {ToNode::kControllers, "controllers signature",
           [&](auto& m) { m.mutable_controllers()->set_signature(long_text); }},
          {ToNode::kGoodbye, "goodbye reason", [&](auto& m) { m.mutable_goodbye()->set_reason(long_text); }},
          {ToNode::kPart, "part entries",
           [](auto& m) {
             for (std::size_t i = 0; i <= kPartEntries; ++i) m.mutable_part()->add_entries();
           }},
      });
}

}  // namespace
}  // namespace cordon::wire
