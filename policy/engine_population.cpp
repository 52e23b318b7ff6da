#include "policy/engine_population.h"

#include <algorithm>
#include <utility>

namespace cordon::policy::engine {
namespace {

template <class Index, class Key>
void put_in_index(Index& index, const Key& key, std::uint32_t number, bool add) {
  if (add) {
    index[key].insert(number);
  } else if (const auto it = index.find(key); it != index.end()) {
    it->second.erase(number);
    if (it->second.empty()) index.erase(it);
  }
}

template <class Map, class Id>
std::uint32_t number_of(const Map& numbers, const Id& id) {
  const auto it = numbers.find(id);
  return it == numbers.end() ? kNone : it->second;
}

}  // namespace

std::uint32_t Population::find(const DeviceId& id) const {
  return number_of(device_numbers_, id);
}
std::uint32_t Population::find(const SessionId& id) const {
  return number_of(session_numbers_, id);
}

void Population::begin(std::uint64_t epoch) {
  epoch_ = epoch;
  for (const std::uint32_t number : gone_principals_) principals_[number] = {};
  free_principals_.insert(free_principals_.end(), gone_principals_.begin(), gone_principals_.end());
  gone_principals_.clear();
  touched_devices_.clear();
  touched_principals_.clear();
  devices_before_.clear();
  principals_before_.clear();
}

DeviceRecord& Population::change_device(std::uint32_t number) {
  return change(devices_[number], number, devices_before_, touched_devices_);
}

PrincipalRecord& Population::change_principal(std::uint32_t number) {
  return change(principals_[number], number, principals_before_, touched_principals_);
}

std::uint32_t Population::device_number(const DeviceId& id) {
  const auto [it, fresh] = device_numbers_.try_emplace(id, device_count());
  if (fresh) devices_.emplace_back().id = id;
  return it->second;
}

std::uint32_t Population::new_principal(std::uint32_t device) {
  std::uint32_t number = static_cast<std::uint32_t>(principals_.size());
  if (free_principals_.empty()) {
    principals_.emplace_back();
    queued_.push_back(0);
    seen_.emplace_back();
  } else {
    number = free_principals_.back();
    free_principals_.pop_back();
  }
  change_principal(number).device = device;
  return number;
}

void Population::touch_device(const DeviceId& id) {
  const std::uint32_t number = device_number(id);
  // Its sessions may have gone with it.
  const std::vector<std::uint32_t> sessions = devices_[number].sessions;
  for (const std::uint32_t session : sessions) touch_session(principals_[session].session->id);
  look_at_device(number);
  for (const std::uint32_t behind : behind(number)) look_at_device(behind);
}

void Population::list_behind(std::uint32_t number, const DeviceId& gateway) {
  const std::uint32_t node = device_number(gateway);
  change_device(number).gateway = node;
  std::vector<std::uint32_t>& listed = behind_[node];
  if (listed.empty()) gateways_.push_back(node);
  listed.push_back(number);
}

void Population::look_at_device(std::uint32_t number) {
  auto in_world = world_.devices.share(devices_[number].id);
  if (in_world != nullptr && in_world->is_behind() && devices_[number].gateway == kNone)
    list_behind(number, in_world->gateway);
  DeviceRecord& record = change_device(number);
  if (in_world == nullptr) return;
  record.in_world = std::move(in_world);
  const Device& device = *record.in_world;
  record.active = device.is_target();
  record.isolated = device.cut_off();
  record.addresses = device.addresses;
  record.wireguard_key = device.wireguard_key;
  record.next_wireguard_key = device.next_wireguard_key;
  list_tags(record, number);
  std::uint32_t group = kNone;
  if (record.active) group = groups_.target_group(world_, device, rules_.selectors().segments_of(device));
  if (group != record.group) move_target(record, number, group);
  if (record.self == kNone && record.gateway == kNone) {
    const std::uint32_t self = new_principal(number);
    devices_[number].self = self;
  }
  queue_all_on(number);
}

void Population::list_tags(DeviceRecord& record, std::uint32_t number) {
  static const std::set<std::string> kNoTags;
  const std::set<std::string>& tags = record.active ? record.in_world->tags : kNoTags;
  if (std::ranges::equal(record.tags, tags)) return;
  for (const std::string& tag : record.tags) put_in_index(devices_by_tag_, tag, number, false);
  record.tags.assign(tags.begin(), tags.end());
  for (const std::string& tag : record.tags) put_in_index(devices_by_tag_, tag, number, true);
}

void Population::move_target(DeviceRecord& record, std::uint32_t number, std::uint32_t group) {
  if (record.group != kNone)
    if (const std::uint32_t moved = groups_.leave_targets(record.group, record.place); moved != kNone)
      devices_[moved].place = record.place;
  record.group = group;
  if (group != kNone) groups_.join_targets(group, number, record.place);
}

void Population::touch_session(const SessionId& id) {
  const auto known = session_numbers_.find(id);
  const bool in_world = world_.sessions.contains(id);
  if (known != session_numbers_.end()) {
    const std::uint32_t number = known->second;
    const bool stays = in_world && devices_[principals_[number].device].id == world_.sessions.at(id).device;
    if (stays) return look_at_session(number);
    drop_session(number);
  }
  if (!in_world) return;
  const std::uint32_t device = device_number(world_.sessions.at(id).device);
  if (devices_[device].in_world == nullptr) look_at_device(device);
  const std::uint32_t number = new_principal(device);
  auto facts = std::make_shared<SessionFacts>();
  facts->id = id;
  principals_[number].session = std::move(facts);
  session_numbers_[id] = number;
  change_device(device).sessions.push_back(number);
  look_at_session(number);
}

/// What is told of a session, and found by, as the world has it now.
void Population::look_at_session(std::uint32_t number) {
  PrincipalRecord& record = change_principal(number);
  auto in_world = world_.sessions.share(record.session->id);
  const Session& session = *in_world;
  record.user = world_.users.share(session.user);
  const std::string name = record.user == nullptr ? std::string() : record.user->name;
  if (record.in_world == nullptr || record.session->user != session.user ||
      record.session->user_name != name || record.session->claims != session.claims) {
    if (record.in_world != nullptr) list_session(number, false);
    record.session = std::make_shared<const SessionFacts>(
        SessionFacts{.id = session.id, .user = session.user, .user_name = name, .claims = session.claims});
    list_session(number, true);
  }
  record.uid = session.uid;
  record.ends_at = session.ends_at;
  record.in_world = std::move(in_world);
  queue_with_new_facts(number);
}

void Population::list_session(std::uint32_t number, bool add) {
  const SessionFacts& facts = *principals_[number].session;
  put_in_index(sessions_by_user_, facts.user.value, number, add);
  put_in_index(sessions_by_name_, facts.user_name, number, add);
  for (const std::string& claim : facts.claims) put_in_index(sessions_by_claim_, claim, number, add);
}

void Population::drop_session(std::uint32_t number) {
  list_session(number, false);
  session_numbers_.erase(principals_[number].session->id);
  std::erase(change_device(principals_[number].device).sessions, number);
  change_principal(number).in_world = nullptr;
  gone_principals_.push_back(number);
  queue_with_new_facts(number);
}

void Population::touch_user(const SubjectId& id) {
  const auto known = sessions_by_user_.find(id.value);
  if (known == sessions_by_user_.end()) return;
  std::vector<SessionId> sessions;  // what they are found by changes
  for (const std::uint32_t session : known->second) sessions.push_back(principals_[session].session->id);
  for (const SessionId& session : sessions) touch_session(session);
}

void Population::touch(const Concerned& concerned) {
  groups_.forget_segments();
  std::vector<std::uint32_t> devices;
  const auto add_all = [](std::vector<std::uint32_t>& to, const Numbers& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (const std::string& tag : concerned.tags)
    if (const auto found = devices_by_tag_.find(tag); found != devices_by_tag_.end())
      add_all(devices, found->second);
  for (const std::string& id : concerned.device_ids)
    if (const std::uint32_t number = find(DeviceId{id}); number != kNone) devices.push_back(number);
  for (const std::uint32_t segment : concerned.segments)
    for (const std::uint32_t group : rules_.segment(segment).target_groups) {
      const auto& members = groups_.targets(group).members;
      devices.insert(devices.end(), members.begin(), members.end());
    }
  std::ranges::sort(devices);
  const auto repeated = std::ranges::unique(devices);
  devices.erase(repeated.begin(), repeated.end());
  for (const std::uint32_t device : devices) look_at_device(device);

  const auto queue_from = [&](const Index& index, const std::string& key) {
    if (const auto found = index.find(key); found != index.end())
      for (const std::uint32_t session : found->second) queue(session);
  };
  for (const std::string& user : concerned.users) queue_from(sessions_by_name_, user);
  for (const std::string& claim : concerned.claims) queue_from(sessions_by_claim_, claim);
}

void Population::touch_everything() {
  std::vector<SessionId> known;
  for (const auto& [id, number] : session_numbers_) known.push_back(id);
  for (const SessionId& id : known)
    if (!world_.sessions.contains(id)) touch_session(id);
  devices_.reserve(world_.devices.size());
  principals_.reserve(world_.devices.size() + world_.sessions.size());
  device_numbers_.reserve(world_.devices.size());
  for (const auto& [id, device] : world_.devices) look_at_device(device_number(id));
  for (const auto& [id, session] : world_.sessions) touch_session(id);
}

}  // namespace cordon::policy::engine
