#include "controller/api/views.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace cordon::controller::api {
namespace {

namespace json = boost::json;

template <class List>
json::array view_texts(const List& list) {
  json::array out;
  for (const auto& element : list) out.emplace_back(std::string_view(element));
  return out;
}

json::array addresses(const policy::OverlayAddresses& addresses) {
  json::array out;
  for (const Address& address : {addresses.v4, addresses.v6}) {
    if (!address.is_unspecified()) out.emplace_back(address.to_string());
  }
  return out;
}

json::array view_prefixes(const std::vector<Prefix>& prefixes) {
  json::array out;
  for (const Prefix& prefix : prefixes) out.emplace_back(prefix.to_string());
  return out;
}

json::value ownership(const std::optional<policy::Ownership>& ownership) {
  if (!ownership) return nullptr;
  switch (*ownership) {
    case policy::Ownership::company:
      return "company";
    case policy::Ownership::personal:
      return "personal";
    case policy::Ownership::vendor:
      return "vendor";
    case policy::Ownership::partner:
      return "partner";
  }
  return nullptr;
}

std::string_view state(policy::DeviceState state) {
  switch (state) {
    case policy::DeviceState::pending:
      return "pending";
    case policy::DeviceState::active:
      return "active";
    case policy::DeviceState::removed:
      return "removed";
  }
  return "?";
}

std::string protocol(std::uint8_t number) {
  switch (number) {
    case policy::kIcmp:
      return "icmp";
    case policy::kTcp:
      return "tcp";
    case policy::kUdp:
      return "udp";
    case policy::kIcmpv6:
      return "icmpv6";
    case policy::kSctp:
      return "sctp";
    default:
      return fmt::format("ip/{}", number);
  }
}

}  // namespace

std::string name_of(const policy::World& world, const SubjectId& user) {
  const auto it = world.users.find(user);
  return it == world.users.end() || it->second.name.empty() ? user.value : it->second.name;
}

std::string actor_name(const policy::World& world, const std::string& actor) {
  const std::size_t colon = actor.find(':');
  if (colon == std::string::npos) return actor;
  const std::size_t end = std::min(actor.find('/', colon), actor.size());
  const SubjectId id(actor.substr(colon + 1, end - colon - 1));
  return actor.substr(0, colon + 1) + name_of(world, id) + actor.substr(end);
}

json::value time_or_null(Timestamp at) {
  if (at == kNever || at == Timestamp{}) return nullptr;
  return json::string(format_rfc3339(at));
}

json::object view(const policy::Device& device, const Distribution::Told& nodes) {
  const auto found = nodes.find(device.id);
  const bool has_node = found != nodes.end() && device.is_node();
  json::value gateway;
  if (device.is_behind()) gateway = json::string(device.gateway.value);
  return {
      {"id", device.id.value},
      {"number", device.number},
      {"state", state(device.state)},
      {"tags", view_texts(device.tags)},
      {"ownership", ownership(device.ownership)},
      {"checks", device.checks ? json::value(view_texts(*device.checks)) : json::value()},
      {"attestation", device.attestation ? json::value(json::string(policy::to_string(*device.attestation)))
                                         : json::value()},
      {"source", device.source ? json::value(json::string(device.source->to_string())) : json::value()},
      {"country", device.country ? json::value(json::string(*device.country)) : json::value()},
      {"isolated", device.isolated},
      {"addresses", addresses(device.addresses)},
      {"gateway", std::move(gateway)},
      {"prefixes", view_prefixes(device.prefixes)},
      {"gateway_isolated", device.gateway_isolated},
      {"gateway_subnets", view_prefixes(has_node ? found->second.gateway_subnets : std::vector<Prefix>{})},
      {"tunnel_key", to_base64(device.wireguard_key)},
      {"tunnel_key_turns", device.rotation_asked || device.next_wireguard_key.has_value()},
      {"platform", device.platform},
      {"token", device.token.value},
      {"enrolled_at", format_rfc3339(device.enrolled_at)},
      {"connected", has_node && found->second.connected}};
}

json::object view(const policy::User& user) {
  return {{"id", user.id.value}, {"name", user.name}, {"issuer", user.issuer}, {"disabled", user.disabled}};
}

json::object view(const policy::Session& session, const policy::World& world) {
  json::array signals;
  for (const policy::Signal& signal : session.signals)
    signals.push_back(json::string(fmt::format(
        "{}: {}, {}", signal.name, signal.cost,
        signal.until == kNever ? "as long as the session" : "until " + format_rfc3339(signal.until))));
  return {{"id", session.id.value},
          {"user", name_of(world, session.user)},
          {"user_id", session.user.value},
          {"device", session.device.value},
          {"assurance", session.assurance ? policy::to_string(*session.assurance) : std::string_view("none")},
          {"authenticated_at", format_rfc3339(session.authenticated_at.value_or(Timestamp{}))},
          {"ends_at", time_or_null(session.ends_at)},
          {"uid", session.uid},
          {"addresses", addresses(session.addresses)},
          {"signals", std::move(signals)}};
}

json::object view(const policy::JoinToken& token, Timestamp now) {
  const std::string_view state = token.revoked             ? "revoked"
                                 : token.uses_left == 0    ? "used"
                                 : token.expires_at <= now ? "expired"
                                                           : "usable";
  json::value source;
  if (token.source) source = token.source->to_string();
  return {{"id", token.id.value},
          {"tags", view_texts(token.tags)},
          {"ownership", ownership(token.ownership)},
          {"uses_left", token.uses_left},
          {"expires_at", format_rfc3339(token.expires_at)},
          {"approve", token.approve},
          {"source", source},
          {"state", state}};
}

json::object view(const policy::ApiToken& token, const policy::World& world, Timestamp now) {
  const std::string_view state = token.revoked ? "revoked" : token.expires_at <= now ? "expired" : "usable";
  return {{"id", token.id.value},
          {"role", token.role},
          {"owner", name_of(world, SubjectId(token.owner))},
          {"expires_at", format_rfc3339(token.expires_at)},
          {"state", state}};
}

json::object view(const policy::Diagnostic& diagnostic) {
  json::array also;
  for (const policy::Place& place : diagnostic.also) {
    also.push_back(json::object{{"file", place.file}, {"line", place.line}, {"column", place.column}});
  }
  return {{"severity", diagnostic.severity == policy::Severity::error ? "error" : "warning"},
          {"file", diagnostic.place.file},
          {"line", diagnostic.place.line},
          {"column", diagnostic.place.column},
          {"message", diagnostic.message},
          {"hints", view_texts(diagnostic.hints)},
          {"also", std::move(also)},
          {"text", policy::render(diagnostic)}};
}

json::object view(const PolicyEntry& entry, const policy::World& world) {
  const PolicyMark& last = entry.undone      ? *entry.undone
                           : entry.replaced  ? *entry.replaced
                           : entry.confirmed ? *entry.confirmed
                                             : entry.applied;
  return {{"revision", entry.applied.revision.value},
          {"at", format_rfc3339(entry.applied.at)},
          {"actor", entry.applied.actor},
          {"actor_name", actor_name(world, entry.applied.actor)},
          {"files", entry.files},
          {"tzdata", entry.tzdata},
          {"state", state_of(entry, world)},
          {"since", format_rfc3339(last.at)},
          {"by", last.actor},
          {"by_name", actor_name(world, last.actor)},
          {"reason", entry.reason},
          {"replaced_by", entry.replaced_by.value},
          {"confirm_by", time_or_null(entry.confirm_by)}};
}

json::object view(const NodeStatus& node) {
  json::object counters;
  for (const auto& [name, value] : node.counters) counters[name] = value;
  json::value seen_from;
  if (node.seen_from) seen_from = node.seen_from->to_string();
  return {{"device", node.device.value},
          {"connected", node.connected},
          {"version", node.version},
          {"seen_from", seen_from},
          {"acked", node.acked.value},
          {"last_heartbeat", time_or_null(node.last_heartbeat)},
          {"leases_end", time_or_null(node.leases_end)},
          {"last_nack", node.last_nack},
          {"alarms", view_texts(node.alarms)},
          {"gateway_subnets", view_prefixes(node.gateway_subnets)},
          {"counters", std::move(counters)}};
}

json::object view(const ReceiptStatus& receipt, bool connected) {
  json::value after_ms, after_us;
  if (receipt.acked && receipt.after_us >= 0) {
    after_ms = (receipt.after_us + 999) / 1000;
    after_us = receipt.after_us;
  }
  return {{"device", receipt.device.value},
          {"acked", receipt.acked},
          {"self", receipt.self},
          {"after_ms", after_ms},
          {"after_us", after_us},
          {"connected", connected},
          {"leases_end", receipt.acked ? json::value() : time_or_null(receipt.leases_end)},
          {"nack", receipt.nack}};
}

json::object view(const Record& record, const policy::World& world) {
  json::error_code error;
  json::value payload = json::parse(record.payload, error);
  if (error || !payload.is_object()) payload = json::object{};
  return {{"revision", record.revision.value},
          {"at", format_rfc3339(record.at)},
          {"actor", record.actor},
          {"actor_name", actor_name(world, record.actor)},
          {"kind", record.kind},
          {"version", record.version},
          {"payload", std::move(payload)},
          {"previous", to_hex(record.previous)},
          {"hash", to_hex(record.hash)}};
}

json::object view(const FlowRecord& flow, const policy::World& world) {
  return {{"id", flow.id},
          {"at", format_rfc3339(flow.at)},
          {"node", flow.node.value},
          {"kind", flow.kind},
          {"verdict", verdict_of(flow)},
          {"source", flow.source.to_string()},
          {"source_port", flow.source_port},
          {"source_device", flow.source_device},
          {"person", flow.person.empty() ? std::string() : name_of(world, SubjectId(flow.person))},
          {"destination", flow.destination.to_string()},
          {"destination_port", flow.destination_port},
          {"destination_device", flow.destination_device},
          {"segment", flow.segment},
          {"service", flow.service},
          {"protocol", protocol(flow.protocol)},
          {"rule", flow.rule},
          {"reason", flow.reason},
          {"direction", flow.direction},
          {"packets", flow.packets},
          {"bytes", flow.bytes},
          {"suppressed", flow.suppressed}};
}

CounterViews::CounterViews(const policy::World& world) {
  for (const auto& [name, rule] : world.rule_ids) rules_.emplace(rule, name);
}

json::object CounterViews::view(const NodeStatus& node) const {
  const auto count = [](std::string_view name, const PacketCount& count) {
    return json::object{{"name", name}, {"packets", count.packets}, {"bytes", count.bytes}};
  };
  json::array rules, reasons;
  for (const auto& [id, counted] : node.rules) {
    const auto known = rules_.find(id);
    rules.push_back(count(known == rules_.end() ? "?" : known->second, counted));
  }
  for (const auto& [reason, counted] : node.reasons) reasons.push_back(count(reason, counted));
  const auto lost = node.counters.find("events lost");
  return {{"device", node.device.value},
          {"connected", node.connected},
          {"at", time_or_null(node.last_heartbeat)},
          {"events_lost", lost == node.counters.end() ? 0 : lost->second},
          {"rules", std::move(rules)},
          {"reasons", std::move(reasons)}};
}

}  // namespace cordon::controller::api
