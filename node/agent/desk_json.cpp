#include "node/agent/desk_json.h"

#include <boost/json.hpp>

#include "proto/codec.h"
#include "proto/cordon.pb.h"

namespace cordon::node {
namespace {

namespace json = boost::json;

json::value time_json(Timestamp t) {
  if (t == Timestamp{}) return nullptr;
  return json::string(format_rfc3339(t));
}

json::array addresses_json(const std::vector<Address>& addresses) {
  json::array out;
  for (const Address& address : addresses)
    if (address != Address{} && !address.is_unspecified()) out.emplace_back(address.to_string());
  return out;
}

template <class Reaches>
json::array reach_json(const Reaches& reaches) {
  json::array out;
  for (const wire::Reach& reach : reaches) {
    std::vector<Address> addresses;
    for (const std::string& bytes : reach.addresses())
      if (const auto address = wire::decode_address(bytes)) addresses.push_back(*address);
    out.push_back(json::object{{"target", reach.target()},
                               {"addresses", addresses_json(addresses)},
                               {"service", reach.service()},
                               {"access", reach.access()},
                               {"rule", reach.rule()},
                               {"deadline", time_json(from_us(reach.deadline_us()))}});
  }
  return out;
}

json::array reach_json(const std::vector<ReachEntry>& reaches) {
  json::array out;
  for (const ReachEntry& reach : reaches)
    out.push_back(json::object{{"target", reach.target},
                               {"addresses", addresses_json(reach.addresses)},
                               {"service", reach.service},
                               {"access", reach.access},
                               {"rule", reach.rule},
                               {"deadline", time_json(reach.deadline)}});
  return out;
}

json::object tunnel_json(const NodeView& view) {
  json::array peers;
  for (const NodeView::Peer& peer : view.peers)
    peers.push_back(
        json::object{{"device", peer.device},
                     {"endpoint", peer.endpoint},
                     {"handshake_age_s",
                      peer.handshake_age_s < 0 ? json::value(nullptr) : json::value(peer.handshake_age_s)}});
  return {{"interface", view.interface}, {"backend", view.backend}, {"peers", std::move(peers)}};
}

/// The node's own word on the caller's session and reach.
void own_word(const DeskBackend& backend, std::uint32_t uid, json::object& out) {
  const auto session = session_of(backend.state(), uid);
  const auto* settings = backend.state().settings();
  const auto lease_end = [&backend](Seconds lease) { return backend.lease_end(lease); };
  if (session) {
    out["session"] = json::object{{"id", session->first.value},
                                  {"user", session->second.user},
                                  {"ends_at", time_json(session->second.ends_at)},
                                  {"addresses", addresses_json({session->second.v4, session->second.v6})}};
    out["reach"] = reach_json(reach_of(backend.state(), session->second.v4, lease_end));
  } else {
    out["session"] = nullptr;
    out["reach"] = settings ? reach_json(reach_of(backend.state(), settings->v4, lease_end)) : json::array{};
  }
}

}  // namespace

std::string ok_json() {
  return json::serialize(json::object{{"ok", true}});
}

std::string login_json(const wire::LoginAnswer& answer, const policy::LocalSessionValue* session) {
  json::object out{{"ok", true},
                   {"session", answer.session()},
                   {"user", answer.user()},
                   {"ends_at", time_json(from_us(answer.ends_at_us()))},
                   {"addresses", session ? addresses_json({session->v4, session->v6}) : json::array{}},
                   {"reach", reach_json(answer.reach())}};
  return json::serialize(out);
}

std::string why_json(const wire::WhyAnswer& answer) {
  json::array mends;
  for (const std::string& mend : answer.mends()) mends.emplace_back(mend);
  json::object out{
      {"ok", true},
      {"allowed", answer.allowed()},
      {"rule", answer.rule()},
      {"deadline", answer.allowed() ? time_json(from_us(answer.deadline_us())) : json::value(nullptr)},
      {"answer", answer.answer()},
      {"mends", std::move(mends)}};
  return json::serialize(out);
}

std::string status_json(const DeskBackend& backend, std::uint32_t uid, const wire::StatusAnswer* answer) {
  const NodeView view = backend.view();
  const auto* settings = backend.state().settings();
  json::object out;
  out["ok"] = true;
  out["device"] = view.device;
  out["controller"] = json::object{
      {"connected", view.connected}, {"name", view.controller}, {"since", time_json(view.since)}};
  out["state"] = json::object{{"revision", view.revision.value},
                              {"leases_end", time_json(view.leases_end)},
                              {"node_lease_end", time_json(view.node_lease_end)}};
  out["tunnel"] = tunnel_json(view);
  out["addresses"] = settings ? addresses_json({settings->v4, settings->v6}) : json::array{};
  out["isolated"] = settings != nullptr && settings->isolated;
  own_word(backend, uid, out);
  if (answer != nullptr) {
    // The controller knows services by name; one that is asked too often leaves them out.
    if (answer->reach_size() > 0) out["reach"] = reach_json(answer->reach());
    if (!answer->signed_in()) out["session"] = nullptr;
  }
  json::array alarms;
  for (const std::string& alarm : view.alarms) alarms.emplace_back(alarm);
  out["alarms"] = std::move(alarms);
  return json::serialize(out);
}

}  // namespace cordon::node
