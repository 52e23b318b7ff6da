#include "controller/api/flow_input.h"

#include <fmt/format.h>

#include "controller/api/answers.h"

namespace cordon::controller::api {
namespace {

Result<FlowEnd> source_called(const policy::World& world, const std::string& name) {
  FlowEnd end;
  if (const auto address = Address::parse(name)) end.address = *address;
  if (const auto device = find_device(world, name)) end.device = (*device)->id.value;
  if (const auto user = find_user(world, name)) end.person = (*user)->id.value;
  if (end.address || !end.device.empty() || !end.person.empty()) return end;
  return fail(ErrorCode::not_found, fmt::format("no person and no device is called \"{}\"", name),
              "`from` is a person, a device or an address");
}

Result<FlowEnd> target_called(const policy::World& world, const std::string& name) {
  FlowEnd end;
  if (const auto address = Address::parse(name)) end.address = *address;
  if (const auto device = find_device(world, name)) end.device = (*device)->id.value;
  const std::size_t slash = std::min(name.find('/'), name.size());
  const auto segment = world.policy->segments.find(name.substr(0, slash));
  if (segment != world.policy->segments.end()) {
    end.segment = segment->first;
    if (slash < name.size()) end.service = name.substr(slash + 1);
    if (!end.service.empty() && !segment->second.services.contains(end.service))
      return fail(ErrorCode::not_found,
                  fmt::format("segment \"{}\" has no service \"{}\"", end.segment, end.service),
                  "`cordon policy show` has them");
  }
  if (end.address || !end.device.empty() || !end.segment.empty()) return end;
  return fail(ErrorCode::not_found, fmt::format("no segment and no device is called \"{}\"", name),
              "`to` is a segment, segment/service, a device or an address");
}

Result<> flow_word(const std::string& given, std::string_view name,
                   std::initializer_list<std::string_view> known) {
  std::string all;
  for (const std::string_view word : known) {
    if (given.empty() || given == word) return {};
    all += fmt::format("{}{}", all.empty() ? "" : ", ", word);
  }
  return fail(ErrorCode::invalid, fmt::format("\"{}\" is no {} of a flow", given, name),
              fmt::format("one of {}", all));
}

}  // namespace

Fields flow_filters() {
  return {{.name = "since", .type = Type::time, .about = "from this time on (RFC 3339)"},
          {.name = "from", .about = "who: a person, a device or an address"},
          {.name = "to", .about = "what: a segment, segment/service, a device or an address"},
          {.name = "verdict", .about = "allowed, denied, or observed (denied, but let through)"},
          {.name = "rule", .about = "that decided"},
          {.name = "reason", .about = "of a denial"},
          {.name = "device", .about = "as source, destination or reporter"},
          {.name = "kind", .about = "opened, denied, closed or underlay"}};
}

Result<FlowQuery> flow_query(const policy::World& world, const Call& call) {
  FlowQuery query{.device = call.text("device"),
                  .kind = call.text("kind"),
                  .verdict = call.text("verdict"),
                  .rule = call.text("rule"),
                  .reason = call.text("reason"),
                  .limit = static_cast<std::size_t>(call.number("limit", 100))};
  CORDON_TRY(flow_word(query.kind, "kind", {"opened", "denied", "closed", "underlay"}));
  CORDON_TRY(flow_word(query.verdict, "verdict", {"allowed", "denied", "observed"}));
  if (!query.rule.empty() && !world.rule_ids.contains(query.rule))
    return fail(ErrorCode::not_found, fmt::format("there was never a rule \"{}\"", query.rule),
                "`cordon policy show` has those in force");
  if (const std::string since = call.text("since"); !since.empty())
    query.since = parse_rfc3339(since).value();
  if (const std::string from = call.text("from"); !from.empty()) {
    CORDON_ASSIGN(query.from, source_called(world, from));
  }
  if (const std::string to = call.text("to"); !to.empty()) {
    CORDON_ASSIGN(query.to, target_called(world, to));
  }
  return query;
}

}  // namespace cordon::controller::api
