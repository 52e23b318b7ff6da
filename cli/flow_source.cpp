#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "cli/flow_options.h"

namespace cordon::cli {
namespace {

constexpr int kControllerWaits = 25, kNodeWaits = 20;  // seconds

std::vector<json::object> flows_in(const json::object& answer) {
  std::vector<json::object> flows;
  for (const json::value& item : items(answer, "items"))
    if (item.is_object()) flows.push_back(item.get_object());
  return flows;
}

class ControllerFlows final : public FlowSource {
 public:
  ControllerFlows(Context& context, std::string filters) : context_(context), filters_(std::move(filters)) {}

  Result<std::vector<json::object>> latest(std::size_t most) override {
    CORDON_ASSIGN(const json::object begin, context_.api("GET", "/v1/flows/follow"));
    after_ = text(begin, "next");
    const std::int64_t last = std::strtoll(after_.c_str(), nullptr, 10);
    CORDON_ASSIGN(auto flows, context_.list("/v1/flows" + filters_, most));
    std::erase_if(flows, [last](const json::object& flow) { return number(flow, "id") > last; });
    std::ranges::reverse(flows);
    return flows;
  }

  Result<std::vector<json::object>> next() override {
    const std::string target = fmt::format("/v1/flows/follow{}{}after={}&limit=1000&wait_s={}", filters_,
                                           filters_.empty() ? '?' : '&', path_part(after_), kControllerWaits);
    CORDON_ASSIGN(const json::object answer,
                  context_.api("GET", target, nullptr, Seconds{kControllerWaits + 30}));
    if (const std::string next = text(answer, "next"); !next.empty()) after_ = next;
    return flows_in(answer);
  }

 private:
  Context& context_;
  const std::string filters_;
  std::string after_;
};

/// A node remembers little and has no filters: they are applied here.
class NodeFlows final : public FlowSource {
 public:
  NodeFlows(Context& context, const FlowOptions& options, std::optional<Timestamp> since)
      : context_(context), options_(options), since_(since) {}

  Result<std::vector<json::object>> latest(std::size_t most) override {
    std::deque<json::object> last;
    while (true) {
      CORDON_ASSIGN(const json::object answer, ask(0));
      if (items(answer, "items").empty()) break;
      for (json::object& flow : flows_in(answer)) {
        if (!wanted(flow)) continue;
        last.push_back(std::move(flow));
        if (last.size() > most) last.pop_front();
      }
    }
    missed_ = 0;  // what went by before is no loss
    return std::vector<json::object>(last.begin(), last.end());
  }

  Result<std::vector<json::object>> next() override {
    CORDON_ASSIGN(const json::object answer, ask(kNodeWaits));
    auto flows = flows_in(answer);
    std::erase_if(flows, [this](const json::object& flow) { return !wanted(flow); });
    return flows;
  }

  std::uint64_t missed() override { return std::exchange(missed_, 0); }

 private:
  Result<json::object> ask(int wait_s) {
    json::object request{{"verb", "flows"}, {"wait_s", wait_s}};
    if (!after_.empty()) request["after"] = after_;
    CORDON_ASSIGN(json::object answer, context_.ask_node(request));
    after_ = text(answer, "next");
    missed_ += static_cast<std::uint64_t>(number(answer, "missed"));
    return answer;
  }

  bool wanted(const json::object& flow) const {
    const auto is = [&flow](const std::string& wish, std::initializer_list<std::string_view> members) {
      return wish.empty() || std::ranges::any_of(members, [&](std::string_view member) {
               return text(flow, member) == wish;
             });
    };
    const auto at = parse_rfc3339(text(flow, "at"));
    return is(options_.from, {"person", "source_device", "source"}) &&
           is(options_.to, {"destination_device", "destination"}) && is(options_.rule, {"rule"}) &&
           is(options_.verdict, {"verdict"}) && is(options_.reason, {"reason"}) &&
           is(options_.device, {"source_device", "destination_device"}) && is(options_.kind, {"kind"}) &&
           (!since_ || (at && *at >= *since_));
  }

  Context& context_;
  const FlowOptions& options_;
  const std::optional<Timestamp> since_;
  std::string after_;
  std::uint64_t missed_ = 0;
};

}  // namespace

Result<std::string> since_of(const Context& context, const std::string& typed) {
  if (const auto ago = parse_duration(typed)) return format_rfc3339(context.env.now() - *ago);
  CORDON_ASSIGN(const Timestamp at, parse_rfc3339(typed));
  return format_rfc3339(at);
}

std::unexpected<Error> or_here(const Context& context, Error error) {
  if (context.unreachable)
    error.hint += fmt::format("{}on a device, --here asks its own node", error.hint.empty() ? "" : "; ");
  return std::unexpected(std::move(error));
}

Result<std::unique_ptr<FlowSource>> make_flow_source(Context& context, const FlowOptions& options) {
  std::string since;
  if (!options.since.empty()) {
    CORDON_ASSIGN(since, since_of(context, options.since));
  }
  if (options.here) {
    std::optional<Timestamp> at;
    if (!since.empty()) at = parse_rfc3339(since).value();
    return std::make_unique<NodeFlows>(context, options, at);
  }
  std::string filters;
  const auto add = [&filters](std::string_view name, const std::string& value) {
    if (!value.empty())
      filters += fmt::format("{}{}={}", filters.empty() ? '?' : '&', name, path_part(value));
  };
  add("since", since);
  add("from", options.from);
  add("to", options.to);
  add("verdict", options.verdict);
  add("rule", options.rule);
  add("reason", options.reason);
  add("device", options.device);
  add("kind", options.kind);
  return std::make_unique<ControllerFlows>(context, std::move(filters));
}

}  // namespace cordon::cli
