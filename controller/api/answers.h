#pragma once
// What many handlers do: propose and answer, page through a map, find what a path names.

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "controller/api/route.h"
#include "controller/world/kinds.h"

namespace cordon::controller::api {

/// Proposes `kind` as the caller; once it is committed answers {"revision": N, ...extra}, with "receipts"
/// when the call's wait_s is above 0. `parsed`: Proposal::parsed.
void commit(Services& services, const Call& call, const kinds::Kind& kind, boost::json::object extra,
            Respond respond, policy::PolicyPtr parsed = nullptr);

/// The revision's receipts as JSON, after at most `wait`.
void gather_receipts(Services& services, Revision revision, Seconds wait,
                     std::function<void(boost::json::array)> done);

/// Devices whose node is connected now.
std::set<DeviceId> connected_devices(const Services& services);

/// By id, or (local) by name, capitals aside.
Result<const policy::User*> find_user(const policy::World& world, const std::string& name_or_id);
Result<const policy::Device*> find_device(const policy::World& world, const std::string& id);

/// One page of an ordered map of id to something: {"items": [...], "next": id or null}.
template <class Map, class View>
Reply page(const Call& call, const Map& map, View&& make_view) {
  const auto limit = static_cast<std::size_t>(call.number("limit", 100));
  const std::string after = call.text("after");
  boost::json::array items;
  boost::json::value next;
  std::string last;
  for (auto it = after.empty() ? map.begin() : map.upper_bound(typename Map::key_type(after));
       it != map.end(); ++it) {
    if (items.size() == limit) {
      next = last;
      break;
    }
    items.push_back(make_view(it->second));
    last = it->first.value;
  }
  return json_reply({{"items", std::move(items)}, {"next", std::move(next)}});
}

}  // namespace cordon::controller::api
