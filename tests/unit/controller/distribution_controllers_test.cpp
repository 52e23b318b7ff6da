// Where nodes reach the controllers: what of the configuration is told, and that it is signed.

#include <gtest/gtest.h>

#include "controller/distribution/controllers_told.h"
#include "proto/features.h"
#include "proto/signer.h"
#include "tests/support/hub_rig.h"

namespace cordon::controller {
namespace distribution_controllers_test {

using namespace test;

std::vector<Endpoint> endpoints(std::initializer_list<std::string_view> texts) {
  std::vector<Endpoint> out;
  for (const std::string_view text : texts) out.push_back(must(Endpoint::parse(text)));
  return out;
}

TEST(NodeEndpoints, AreWhatIsAdvertisedElseWhatIsListenedOn) {
  const auto of = [](const std::string& text) {
    return node_endpoints(
        must(parse_controller_config("name = \"c\"\ntrust_domain = \"acme.example\"\n" + text, "c.toml")));
  };
  EXPECT_EQ(of(""), endpoints({})) << "on every address: nobody knows which are reached";
  EXPECT_EQ(of("[listen]\nnodes = \"198.51.100.1:7000\""), endpoints({"198.51.100.1:7000"}));
  EXPECT_EQ(
      of("[listen]\nnodes = \"[::]:7000\"\n[advertise]\naddresses = [\"198.51.100.1\", \"2001:db8::1\"]"),
      endpoints({"198.51.100.1:7000", "[2001:db8::1]:7000"}));
  EXPECT_EQ(
      of("[listen]\nnodes = \"10.0.0.1:7000\"\n[advertise]\naddresses = [\"198.51.100.1\", \"10.0.0.1\"]"),
      endpoints({"198.51.100.1:7000", "10.0.0.1:7000"}));
  EXPECT_EQ(of("[listen]\nnodes = \"10.0.0.1:7000\"\n[advertise]\naddresses = [\"198.51.100.1\"]\n"
               "nodes = [\"203.0.113.1:443\", \"[2001:db8::2]:443\"]"),
            endpoints({"203.0.113.1:443", "[2001:db8::2]:443"}))
      << "which may be anywhere";
}

struct ControllersTold : testing::Test, HubRig {
  void advertise(std::vector<Endpoint> named) {
    rig.on_strand([&] {
      rig.config.advertise_nodes = std::move(named);
      return 0;
    });
  }
  /// All that is said to a node with these features, up to its state.
  std::vector<wire::ToNode> said(HeldNode& node, std::initializer_list<std::string_view> features) {
    wire::ToController hello = node.fake.hello_message();
    for (const std::string_view feature : features) hello.mutable_hello()->add_features(std::string(feature));
    open(node, hello.hello());
    std::vector<wire::ToNode> out;
    while (auto message = taken(node)) out.push_back(std::move(*message));
    return out;
  }
  static bool tells(const std::vector<wire::ToNode>& said) {
    return std::ranges::any_of(said, [](const auto& message) { return message.has_controllers(); });
  }
};

TEST_F(ControllersTold, SignedAndAheadOfTheState) {
  HeldNode web(rig.add_device("web"));
  const auto named = endpoints({"203.0.113.1:443", "[2001:db8::2]:443"});
  advertise(named);
  const auto all = said(web, {wire::kFeatureControllers1});
  ASSERT_GE(all.size(), 3u);
  EXPECT_TRUE(all[0].has_welcome());
  ASSERT_TRUE(all[1].has_controllers());
  EXPECT_TRUE(all[2].has_begin());
  const wire::Controllers& told = all[1].controllers();
  std::vector<Endpoint> got;
  for (const auto& each : told.endpoints()) got.push_back(must(wire::decode_endpoint(each)));
  EXPECT_EQ(got, named);
  const auto roots = rig.on_strand([&] { return rig.authority->trust_bundle_pem(); });
  const wire::Signer signer = must(wire::verify_signer(told.signer_pem(), roots, from_us(told.at_us())));
  EXPECT_TRUE(crypto::verify(signer.public_key_der, wire::controllers_text(from_us(told.at_us()), named),
                             as_bytes(told.signature())));
}

TEST_F(ControllersTold, NotToANodeThatDoesNotKnowOfThemNorWhenThereIsNothingToTell) {
  HeldNode web(rig.add_device("web")), ledger(rig.add_device("ledger"));
  EXPECT_FALSE(tells(said(web, {wire::kFeatureControllers1}))) << "[::]:0 is nowhere";
  advertise(endpoints({"203.0.113.1:443"}));
  EXPECT_FALSE(tells(said(ledger, {wire::kFeatureState1})));
}

}  // namespace distribution_controllers_test
}  // namespace cordon::controller
