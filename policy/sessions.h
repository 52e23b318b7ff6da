#pragma once
// The open sessions, found by who is signed in, where, and when they end, without looking at the others.

#include <cstddef>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/shared_map.h"
#include "base/time.h"
#include "policy/facts.h"

namespace cordon::policy {

/// A session is changed as a whole only, so what it is found by is always what it is.
class Sessions {
  using ById = SharedMap<SessionId, Session>;

 public:
  using const_iterator = ById::const_iterator;
  using iterator = const_iterator;
  using key_type = SessionId;
  using value_type = ById::value_type;

  /// Opens it, or puts it in the place of the one of that id.
  void put(Session session);
  /// False: there is none.
  bool close(const SessionId& id);
  /// `change` is called with the session, which is there, and may set all but its id.
  template <class Change>
  void change(const SessionId& id, Change change) {
    Session session = at(id);
    change(session);
    put(std::move(session));
  }
  void clear() { *this = Sessions(); }

  // By id, each good until the next change.
  const_iterator begin() const { return by_id_.begin(); }
  const_iterator end() const { return by_id_.end(); }
  const_iterator upper_bound(const SessionId& id) const { return by_id_.upper_bound(id); }
  const_iterator find(const SessionId& id) const { return by_id_.find(id); }
  bool contains(const SessionId& id) const { return by_id_.contains(id); }
  const Session& at(const SessionId& id) const { return by_id_.at(id); }
  std::size_t size() const { return by_id_.size(); }
  bool empty() const { return by_id_.empty(); }
  /// The session as it is now, for as long as it is held; null: there is none.
  std::shared_ptr<const Session> share(const SessionId& id) const { return by_id_.share(id); }

  /// Those on a device, of a person, and those that are over at `at`; in order.
  std::vector<SessionId> on(const DeviceId& device) const { return listed(on_device_, device); }
  std::vector<SessionId> of(const SubjectId& user) const { return listed(of_user_, user); }
  std::vector<SessionId> over(Timestamp at) const;

 private:
  template <class Key>
  using Index = SharedMap<std::pair<Key, SessionId>, std::monostate>;
  template <class Key>
  static std::vector<SessionId> listed(const Index<Key>& index, const Key& key) {
    std::vector<SessionId> out;
    for (auto it = index.lower_bound({key, SessionId{}}); it != index.end() && it->first.first == key; ++it)
      out.push_back(it->first.second);
    return out;
  }

  ById by_id_;
  Index<DeviceId> on_device_;
  Index<SubjectId> of_user_;
  Index<Timestamp> ends_;
};

}  // namespace cordon::policy
