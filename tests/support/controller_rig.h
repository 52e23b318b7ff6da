#pragma once
// A controller's distribution for real (TLS on a loopback port) without API and passwords.

#include "controller/distribution/limits.h"
#include "controller/distribution/server.h"
#include "controller/identity/login.h"
#include "tests/support/fake_node.h"
#include "tests/support/strand_rig.h"

namespace cordon::test {

/// Machines tagged "web" may reach settlement/ledger, tcp/5432, of machines tagged "settlement".
inline constexpr const char* kWebToLedger = R"(
[segments.settlement]
members = ["tag:settlement"]
[segments.settlement.services]
ledger = ["tcp/5432"]
[segments.web]
members = ["tag:web"]
[segments.web.services]
site = ["tcp/443"]
[[allow]]
name = "web-to-ledger"
from = { segments = ["web"] }
to = ["settlement/ledger"]
)";

/// Limits under which a test of a timeout doesn't take long.
controller::DistributionLimits quick_limits();

class ControllerRig : public StrandRig {
 public:
  explicit ControllerRig(const controller::DistributionLimits& limits = quick_limits(),
                         const Clock& clock = system_clock());
  ~ControllerRig();

  Revision add(const controller::kinds::Kind& kind) { return must(propose(kind)).record.revision; }
  /// A join token whose secret is 32 times `byte`.
  std::string add_token(const std::string& id, char byte, bool approve, std::set<std::string> tags = {},
                        std::uint32_t uses = 100);
  /// A device that is active, with its certificate, as an enrolment makes it.
  FakeDevice add_device(const std::string& name, std::set<std::string> tags = {});
  std::string certificate(const FakeDevice& device, Timestamp now);
  Revision apply_policy(const std::string& toml) {
    return add(controller::kinds::PolicyApplied{.files = {{"policy.toml", toml}}});
  }
  std::uint16_t port() { return server->port(); }
  using StrandRig::dir;

  std::unique_ptr<controller::DistributionServer> server;

 private:
  std::unique_ptr<controller::Identity> identity_;
};

}  // namespace cordon::test
