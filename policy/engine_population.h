#pragma once
// Who is there, as the engine knows it: devices and principals by number, found by what a change names, and
// as they were before the last advance.

#include <deque>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "policy/engine_groups.h"
#include "policy/engine_records.h"
#include "policy/engine_rules.h"
#include "policy/world.h"

namespace cordon::policy::engine {

class Population {
 public:
  Population(const World& world, RuleBook& rules, GroupBook& groups)
      : world_(world), rules_(rules), groups_(groups) {}

  /// A new advance: what was before the last one is forgotten.
  void begin(std::uint64_t epoch);

  // What changed; the principals concerned are looked at in settle().
  void touch_device(const DeviceId& id);
  void touch_session(const SessionId& id);
  void touch_user(const SubjectId& id);
  void touch(const Concerned& concerned);
  void touch_everything();
  /// Principals that time changes up to `now`.
  void touch_due(Timestamp now);
  void settle(Timestamp now);

  const DeviceRecord& device(std::uint32_t number, When when) const {
    const DeviceRecord& record = devices_[number];
    return when == When::before && record.touched == epoch_ ? devices_before_[record.before] : record;
  }
  const PrincipalRecord& principal(std::uint32_t number, When when) const {
    const PrincipalRecord& record = principals_[number];
    return when == When::before && record.touched == epoch_ ? principals_before_[record.before] : record;
  }
  std::uint32_t find(const DeviceId& id) const;
  std::uint32_t find(const SessionId& id) const;
  std::uint32_t device_count() const { return static_cast<std::uint32_t>(devices_.size()); }
  /// The principals on a device: itself, then its sessions.
  template <class Visit>
  void each_principal_on(std::uint32_t device, When when, Visit visit) const {
    const DeviceRecord& record = this->device(device, when);
    if (record.self != kNone) visit(record.self);
    for (const std::uint32_t session : record.sessions) visit(session);
  }

  /// Devices that are or were behind this one, and those that anything is or was behind.
  const std::vector<std::uint32_t>& behind(std::uint32_t device) const {
    static const std::vector<std::uint32_t> kNothing;
    const auto it = behind_.find(device);
    return it == behind_.end() ? kNothing : it->second;
  }
  const std::vector<std::uint32_t>& gateways() const { return gateways_; }
  bool is_gateway(std::uint32_t device) const { return !gateways_.empty() && behind_.contains(device); }
  /// Has it a state of its own? Not what is behind a gateway.
  bool is_node(std::uint32_t number, When when) const {
    const DeviceRecord& record = device(number, when);
    return record.group != kNone && record.gateway == kNone;
  }

  bool is_touched(std::uint32_t device) const { return devices_[device].touched == epoch_; }
  const std::vector<std::uint32_t>& touched_devices() const { return touched_devices_; }
  const std::vector<std::uint32_t>& touched_principals() const { return touched_principals_; }
  Timestamp next_change_at() const { return due_.empty() ? kNever : due_.begin()->first; }

 private:
  using Numbers = std::unordered_set<std::uint32_t>;
  using Index = std::unordered_map<std::string, Numbers>;

  /// What was found out of a principal's facts and is good as long as they are.
  struct Seen {
    SeenOutlooks outlooks;
    Positions groups;                      ///< of a session
    std::uint64_t membership_version = 0;  ///< that the groups are of
  };

  /// The record, to be changed; what it was before this advance is kept.
  template <class Record>
  Record& change(Record& record, std::uint32_t number, std::deque<Record>& before,
                 std::vector<std::uint32_t>& touched) {
    if (record.touched == epoch_) return record;
    record.before = static_cast<std::uint32_t>(before.size());
    before.push_back(record);
    touched.push_back(number);
    record.touched = epoch_;
    return record;
  }
  DeviceRecord& change_device(std::uint32_t number);
  PrincipalRecord& change_principal(std::uint32_t number);
  std::uint32_t device_number(const DeviceId& id);
  std::uint32_t new_principal(std::uint32_t device);
  void look_at_device(std::uint32_t number);
  void look_at_session(std::uint32_t number);
  void list_behind(std::uint32_t number, const DeviceId& gateway);
  void list_tags(DeviceRecord& record, std::uint32_t number);
  void move_target(DeviceRecord& record, std::uint32_t number, std::uint32_t group);
  void drop_session(std::uint32_t number);
  void list_session(std::uint32_t number, bool add);
  void queue(std::uint32_t principal);
  void queue_with_new_facts(std::uint32_t principal);
  void queue_all_on(std::uint32_t device);
  void judge(std::uint32_t number, Timestamp now);
  Standing standing(const PrincipalRecord& record, Timestamp now, Seen& seen) const;
  void move_principal(PrincipalRecord& record, std::uint32_t number, std::uint32_t group);
  void set_due(PrincipalRecord& record, std::uint32_t number, Timestamp at);

  const World& world_;
  RuleBook& rules_;
  GroupBook& groups_;
  std::uint64_t epoch_ = 0;
  std::vector<DeviceRecord> devices_;
  std::vector<PrincipalRecord> principals_;
  std::vector<std::uint32_t> free_principals_, gone_principals_;
  std::unordered_map<DeviceId, std::uint32_t> device_numbers_;
  std::unordered_map<SessionId, std::uint32_t> session_numbers_;
  Index devices_by_tag_, sessions_by_name_, sessions_by_claim_, sessions_by_user_;
  std::set<std::pair<Timestamp, std::uint32_t>> due_;

  std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> behind_;  ///< by gateway; only ever more
  std::vector<std::uint32_t> gateways_;

  std::vector<std::uint32_t> queue_;
  std::vector<std::uint64_t> queued_;  ///< by principal: the advance it was last queued in
  std::vector<Seen> seen_;             ///< by principal
  std::vector<std::uint32_t> touched_devices_, touched_principals_;
  std::deque<DeviceRecord> devices_before_;
  std::deque<PrincipalRecord> principals_before_;
};

}  // namespace cordon::policy::engine
