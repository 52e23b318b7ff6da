#include "node/agent/desk_flows.h"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/json.hpp>
#include <charconv>

#include "node/agent/desk.h"

namespace cordon::node {
namespace {

namespace json = boost::json;
constexpr std::uint32_t kRoot = 0;
constexpr std::size_t kMostDeskFollowers = 32;

std::string_view kind_of(const FlowEvent& event) {
  switch (event.kind) {
    case FlowEvent::Kind::opened:
      return "opened";
    case FlowEvent::Kind::denied:
      return "denied";
    case FlowEvent::Kind::closed:
      return "closed";
    case FlowEvent::Kind::underlay:
      return "underlay";
  }
  return "";
}

std::string_view verdict_of(const FlowEvent& event) {
  if (event.kind == FlowEvent::Kind::opened || event.kind == FlowEvent::Kind::closed) return "allowed";
  return event.reason == "observed" || event.reason == "underlay observed" ? "observed" : "denied";
}

std::string protocol_of(const FlowEvent& event) {
  return event.protocol == 0 ? "ip/0" : local::access_text(event.protocol, 0, 0);
}

/// The same members as the controller's (docs/FLOWS.md); segments and services a node doesn't know.
json::object flow_json(const SeenFlow& seen, const std::string& node) {
  const FlowEvent& event = seen.event;
  return {{"id", seen.id},
          {"at", format_rfc3339(seen.at)},
          {"node", node},
          {"kind", kind_of(event)},
          {"verdict", verdict_of(event)},
          {"source", event.source.to_string()},
          {"source_port", event.source_port},
          {"source_device", seen.source_device},
          {"person", seen.person},
          {"destination", event.destination.to_string()},
          {"destination_port", event.destination_port},
          {"destination_device", seen.destination_device},
          {"segment", ""},
          {"service", ""},
          {"protocol", protocol_of(event)},
          {"rule", seen.rule},
          {"reason", event.reason},
          {"direction", event.direction == policy::Direction::ingress ? "ingress" : "egress"},
          {"packets", event.packets},
          {"bytes", event.bytes},
          {"suppressed", event.suppressed}};
}

/// Reason, rule and name of a denial would tell which targets there are, and that somebody observes.
void keep_need_to_know(json::object& flow) {
  if (flow.at("verdict") == "allowed") return;
  if (flow.at("verdict") == "observed") {
    flow["kind"] = "opened";
    flow["verdict"] = "allowed";
  }
  for (const char* member : {"destination_device", "rule", "reason"}) flow[member] = "";
}

/// "RUN-ID"; a place of another run is before all there is.
Result<std::uint64_t> parse_history_place(std::string_view text, std::uint64_t run) {
  if (text.empty()) return 0;
  const char* end = text.data() + text.size();
  std::uint64_t of_run = 0, id = 0;
  const auto first = std::from_chars(text.data(), end, of_run, 16);
  if (first.ec == std::errc{} && first.ptr != end && *first.ptr == '-') {
    const auto second = std::from_chars(first.ptr + 1, end, id);
    if (second.ec == std::errc{} && second.ptr == end) return of_run == run ? id : 0;
  }
  return fail(ErrorCode::invalid, "\"after\" is no place in the list",
              "give the \"next\" of the answer before");
}

json::object count_json(std::string_view name, const Counter& counter) {
  return {{"name", name}, {"packets", counter.packets}, {"bytes", counter.bytes}};
}

}  // namespace

struct DeskFlows::Follower {
  Follower(boost::asio::io_context& io, std::uint64_t place, std::size_t most, std::uint32_t who, Reply how)
      : id(place), limit(most), uid(who), reply(std::move(how)), timer(io) {}
  std::uint64_t id;
  std::size_t limit;
  std::uint32_t uid;
  Reply reply;
  boost::asio::steady_timer timer;
};

std::optional<std::string> DeskFlows::look(std::uint64_t& id, std::size_t limit, std::uint32_t uid,
                                           bool anyway) const {
  const FlowHistory& history = backend_.history();
  const auto page = history.after(id, limit, uid == kRoot ? std::nullopt : std::optional(uid));
  id = page.last;
  if (page.flows.empty() && page.missed == 0 && !anyway) return std::nullopt;
  const std::string device = backend_.view_name();
  json::array items;
  for (const SeenFlow* seen : page.flows) {
    json::object flow = flow_json(*seen, device);
    if (uid != kRoot) keep_need_to_know(flow);
    items.push_back(std::move(flow));
  }
  return json::serialize(json::object{{"ok", true},
                                      {"items", std::move(items)},
                                      {"next", fmt::format("{:x}-{}", history.run(), page.last)},
                                      {"missed", page.missed}});
}

void DeskFlows::flows(const local::Flows& asked, const local::Caller& caller, Reply reply) {
  auto place = parse_history_place(asked.after, backend_.history().run());
  if (!place) return reply(local::error_reply(place.error()));
  const bool at_once = asked.wait_s == 0 || followers_.size() >= kMostDeskFollowers;
  if (auto answer = look(*place, asked.limit, caller.uid, at_once)) return reply(std::move(*answer));
  auto follower = std::make_shared<Follower>(io_, *place, asked.limit, caller.uid, std::move(reply));
  followers_.push_back(follower);
  follower->timer.expires_after(Seconds(asked.wait_s));
  follower->timer.async_wait([this, follower](boost::system::error_code ended) {
    if (ended || std::erase(followers_, follower) == 0) return;
    follower->reply(*look(follower->id, follower->limit, follower->uid, true));
  });
}

void DeskFlows::came() {
  std::erase_if(followers_, [this](const std::shared_ptr<Follower>& follower) {
    auto answer = look(follower->id, follower->limit, follower->uid, false);
    if (!answer) return false;
    follower->timer.cancel();
    follower->reply(std::move(*answer));
    return true;
  });
}

void DeskFlows::counters(const local::Caller& caller, const Reply& reply) const {
  if (caller.uid != kRoot)
    return reply(local::error_reply({.code = ErrorCode::forbidden,
                                     .what = "only root may see what this machine counted",
                                     .hint = "try with sudo"}));
  const auto counts = backend_.counts();
  if (!counts) return reply(local::error_reply(counts.error()));
  json::array rules, reasons;
  for (const auto& [rule, counter] : counts->rules) {
    const auto found = backend_.state().entries.find(policy::RuleKey{rule});
    rules.push_back(count_json(found == backend_.state().entries.end()
                                   ? fmt::format("rule {}", rule.value)
                                   : std::get<policy::RuleValue>(found->second).name,
                               counter));
  }
  for (const auto& [reason, counter] : counts->reasons)
    if (counter.packets > 0) reasons.push_back(count_json(reason, counter));
  reply(json::serialize(json::object{{"ok", true},
                                     {"device", backend_.view_name()},
                                     {"events_lost", counts->events_lost},
                                     {"rules", std::move(rules)},
                                     {"reasons", std::move(reasons)}}));
}

}  // namespace cordon::node
