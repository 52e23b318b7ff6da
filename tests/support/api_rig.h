#pragma once
// A controller's API and identity for real (UNIX socket and TLS on loopback, log in memory, secrets in a
// temporary directory) on a thread of its own; nodes are told by the test.

#include <boost/json/object.hpp>
#include <memory>
#include <string>
#include <vector>

#include "controller/api/api.h"
#include "controller/distribution/distribution.h"
#include "controller/identity/login.h"
#include "tests/support/strand_rig.h"

namespace cordon::test {

class FakeDistribution final : public controller::Distribution {
 public:
  std::vector<controller::NodeStatus> nodes() const override { return known; }
  Told told() const override {
    Told all;
    for (const controller::NodeStatus& node : known) all[node.device] = node;
    return all;
  }
  std::vector<controller::ReceiptStatus> receipts(Revision) const override { return given; }
  void wait_for(Revision, Seconds,
                std::function<void(std::vector<controller::ReceiptStatus>)> done) override {
    done(given);
  }
  std::vector<controller::NodeStatus> known;
  std::vector<controller::ReceiptStatus> given;
};

struct Answer {
  unsigned status = 0;
  std::string head, body;
  boost::json::object json() const;
  std::string text(std::string_view member) const;
};

/// "HTTP/1.1 200 OK..." as it came over a connection that was closed after it.
Answer parse_answer(const std::string& raw);
std::string http_request(const std::string& method, const std::string& target, const std::string& body,
                         const std::string& token = {});

/// The clock stands in a base of its own: what StrandRig is made with must be there before it.
struct RigClock {
  ManualClock clock;
};

class ApiRig : public RigClock, public StrandRig {
 public:
  ApiRig();
  ~ApiRig();

  controller::Committed add(const controller::kinds::Kind& kind) { return must(propose(kind)); }
  /// An active device.
  void add_device(const std::string& name);
  std::string add_user(const std::string& name, const std::string& password);

  /// Sends bytes as they are over the admin socket; what came until it was closed.
  Answer send_raw(const std::string& bytes);
  Answer call(const std::string& method, const std::string& target, const std::string& body = {}) {
    return send_raw(http_request(method, target, body));
  }

  FakeDistribution distribution;
  std::unique_ptr<controller::Identity> identity;
  std::unique_ptr<controller::Api> api;
};

}  // namespace cordon::test
