#pragma once
// All node sessions together: who is connected, what each record changes for whom, who has acked. On the
// strand.

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <list>
#include <map>
#include <memory>

#include "controller/core/services.h"
#include "controller/distribution/distribution.h"
#include "controller/distribution/endpoint_table.h"
#include "controller/distribution/enrolment.h"
#include "controller/distribution/fact_intake.h"
#include "controller/distribution/flow_intake.h"
#include "controller/distribution/idle_watch.h"
#include "controller/distribution/key_rotation.h"
#include "controller/distribution/meetings.h"
#include "controller/distribution/node_session.h"
#include "controller/distribution/requests.h"
#include "controller/secrets/preshared.h"

namespace cordon::wire {
class PresharedKeys;
}

namespace cordon::controller {

/// Who is at the other end of a connection, as TLS proved it.
struct Peer {
  Endpoint remote;
  std::string certificate_pem;  ///< empty: none was presented
};

struct Admitted {
  DeviceId device;
  Bytes key_der;
  bool renew_only = false;  ///< its certificate has expired
};

class Hub final : public Distribution,
                  private KeyRotation::Nodes,
                  private Meetings::Nodes,
                  public std::enable_shared_from_this<Hub> {
 public:
  Hub(Services& services, const DistributionLimits& limits, std::unique_ptr<ReceiptLedger> ledger,
      PresharedSource preshared);
  void start();
  void stop();

  /// The device that the certificate names, if it may have a session.
  Result<Admitted> admit(const Peer& peer) const;
  /// A session for it, in place of one it may have; null: the link was told why not.
  std::shared_ptr<NodeSession> open(const Admitted& admitted, const wire::Hello& hello, const Peer& peer,
                                    std::shared_ptr<NodeLink> link);
  void ended(NodeSession& session);

  std::vector<NodeStatus> nodes() const override;
  Told told() const override { return facts_; }
  std::vector<ReceiptStatus> receipts(Revision revision) const override;
  void wait_for(Revision revision, Seconds timeout,
                std::function<void(std::vector<ReceiptStatus>)> done) override;

  // For sessions.
  Services& services() { return services_; }
  const DistributionLimits& limits() const { return limits_; }
  Enrolment& enrolment() { return *enrolment_; }
  NodeRequests& requests() { return *requests_; }
  FlowIntake& flows() { return flows_; }
  const AddressBook& addresses() const { return addresses_; }
  EndpointTable& endpoints() { return endpoints_; }
  FactIntake& reports() { return *reports_; }
  IdleWatch& idle() { return *idle_; }
  KeyRotation& rotation() { return *rotation_; }
  Meetings& meetings() { return meetings_; }
  NodeStatus& facts(const DeviceId& device);
  /// What the device needs of preshared keys to talk to that peer: one for each pair of their keys.
  void add_preshared(const DeviceId& device, const DeviceId& peer, wire::PresharedKeys& out) const;
  void acked(const NodeSession& session, const SignedReceipt& receipt);
  void nacked(const NodeSession& session, const std::string& reason);
  /// False: `reporter` has told just now that `peer` is elsewhere.
  bool may_observe(const DeviceId& reporter, const DeviceId& peer);
  void endpoint_changed(const DeviceId& device, const DeviceId& told_by);

 private:
  struct Waiter {
    Revision revision;
    std::function<void(std::vector<ReceiptStatus>)> done;
    boost::asio::steady_timer timer;
  };
  void on_record(const Record& record, const policy::World& world);
  void flows_kept(const std::vector<FlowMark>& marks);
  void pump_soon();
  void check_holds();
  void check_waiters();
  bool answered(Revision revision) const;
  void settle(const SessionId& session, std::function<void()> done);
  void wait(Revision revision, std::chrono::milliseconds timeout,
            std::function<void(std::vector<ReceiptStatus>)> done);
  void learn_endpoint(const DeviceId& device, const wire::Hello& hello, const Peer& peer);
  bool cannot_tell_activity(const DeviceId& device) const;
  void tick();
  void watch_time();

  // KeyRotation::Nodes
  std::set<DeviceId> peers_of(const DeviceId& device) const override;
  bool is_past(const DeviceId& node, Revision revision) const override;
  void watch(const DeviceId& node, const DeviceId& turning) override;
  void order_next_key(const DeviceId& device) override;
  void order_turn(const DeviceId& device, const WireguardKey& to) override;

  // Meetings::Nodes
  bool was_sent(const DeviceId& node, const DeviceId& peer) const override;
  void begin(const DeviceId& node, const DeviceId& peer) override;

  Services& services_;
  const DistributionLimits limits_;
  std::unique_ptr<ReceiptLedger> ledger_;
  StateSource states_;
  AddressBook addresses_;
  FlowIntake flows_;
  EndpointTable endpoints_;
  RateLimiter observations_;
  std::shared_ptr<FactIntake> reports_;
  std::shared_ptr<IdleWatch> idle_;
  Meetings meetings_;
  PresharedSource preshared_;
  std::shared_ptr<KeyRotation> rotation_;
  std::shared_ptr<Enrolment> enrolment_;
  std::shared_ptr<NodeRequests> requests_;
  std::map<DeviceId, std::shared_ptr<NodeSession>> sessions_;
  std::set<DeviceId> away_;  ///< followed without a session: their leases may run still
  Told facts_;
  std::set<DeviceId> holding_;
  std::set<DeviceId> to_pump_;  ///< that may have something to be told
  std::list<Waiter> waiters_;
  std::deque<std::pair<SessionId, Revision>> opened_;  ///< the last sessions that people opened
  Timestamp started_{};
  bool pump_queued_ = false;
  bool stopped_ = false;
  boost::asio::steady_timer tick_;
  boost::asio::steady_timer time_;
};

}  // namespace cordon::controller
