#include "controller/api/policy_input.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <set>

#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"
#include "policy/bound_tests.h"
#include "policy/run_tests.h"

namespace cordon::controller::api {
namespace {

namespace json = boost::json;

Result<> check_file_name(std::string_view name) {
  const bool plain = !name.empty() && name.size() <= 255 && name.front() != '/' && name.ends_with(".toml") &&
                     std::ranges::all_of(name, [](char c) { return c >= ' ' && c != '\x7f' && c != '\\'; });
  bool steps_out = false;
  for (std::size_t start = 0; start <= name.size();) {
    const std::size_t end = std::min(name.find('/', start), name.size());
    const std::string_view part = name.substr(start, end - start);
    steps_out |= part.empty() || part == "." || part == "..";
    start = end + 1;
  }
  if (plain && !steps_out) return {};
  return fail(ErrorCode::invalid, "a file has a name that is not a plain relative path",
              "name files like \"settlement.toml\" or \"teams/web.toml\"");
}

}  // namespace

Field files_field() {
  return {.name = "files",
          .type = Type::objects,
          .about = "all files of the policy",
          .required = true,
          .longest = kMaxPolicyFiles,
          .ref = "PolicyFile"};
}

Result<std::vector<SourceFile>> files_of(const Call& call) {
  std::vector<SourceFile> files;
  std::set<std::string> names;
  for (const json::value& entry : call.body.at("files").get_array()) {
    const json::object& file = entry.get_object();
    const std::string name(file.at("name").get_string());
    CORDON_TRY(check_file_name(name));
    if (!names.insert(name).second) {
      return fail(ErrorCode::invalid, fmt::format("file \"{}\" is given twice", name), "give each file once");
    }
    files.push_back({name, std::string(file.at("text").get_string())});
  }
  if (files.empty()) return fail(ErrorCode::invalid, "there is no file", "give at least one");
  std::ranges::sort(files, {}, &SourceFile::name);
  return files;
}

json::array views(const std::vector<policy::Diagnostic>& diagnostics) {
  json::array out;
  for (const auto& diagnostic : diagnostics) out.push_back(view(diagnostic));
  return out;
}

namespace {

bool asks_countries(const policy::Rule& rule) {
  return !rule.when.countries.empty() || (rule.unless && !rule.unless->countries.empty());
}

/// P12: where no country is known the condition lacks its fact for everybody. One warning, with every place.
void warn_of_countries(policy::ParseResult& parsed) {
  policy::Diagnostic warning{
      .severity = policy::Severity::warning,
      .place = {},
      .message = "",
      .hints = {"name a database of countries under [places] in the controller's configuration"}};
  for (const policy::Rule& rule : parsed.policy->rules) {
    if (!asks_countries(rule)) continue;
    if (!warning.message.empty()) {
      warning.also.push_back(rule.place);
      continue;
    }
    warning.place = rule.place;
    warning.message =
        fmt::format("rule \"{}\" asks for countries, and this controller knows none", rule.name);
  }
  if (!warning.message.empty()) parsed.diagnostics.push_back(std::move(warning));
}

/// A node whose own lease is over drops everything, whatever a rule's lease says.
void warn_of_leases(policy::ParseResult& parsed, Seconds node_lease) {
  policy::Diagnostic warning{
      .severity = policy::Severity::warning,
      .place = {},
      .message = "",
      .hints = {
          "nodes' lease is [leases] node in the controller's configuration when the installation is made"}};
  for (const policy::Rule& rule : parsed.policy->rules) {
    if (rule.effect != policy::Effect::allow || rule.lease <= node_lease) continue;
    if (!warning.message.empty()) {
      warning.also.push_back(rule.place);
      continue;
    }
    warning.place = rule.place;
    warning.message = fmt::format(
        "rule \"{}\" has a lease of {}, but a node that hears from no controller drops everything "
        "after {}",
        rule.name, format_duration(rule.lease), format_duration(node_lease));
  }
  if (!warning.message.empty()) parsed.diagnostics.push_back(std::move(warning));
}

/// What the installation gives rules to go by.
struct Given {
  bool countries = false;
  Seconds node_lease{};
};

void read_policy(PolicyInput& input, const Given& given) {
  policy::ParseResult& parsed = input.parsed;
  parsed = policy::parse(input.files, system_time_zones());
  policy::bound_tests(parsed);
  if (!parsed.ok()) return;
  if (!given.countries) warn_of_countries(parsed);
  warn_of_leases(parsed, given.node_lease);
  const auto results = policy::run_tests(parsed.policy);
  const auto failures = policy::failures(results);
  input.tests = results.size();
  input.tests_failed = failures.size();
  parsed.diagnostics.insert(parsed.diagnostics.end(), failures.begin(), failures.end());
}

std::string counted(std::size_t count, std::string_view one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

}  // namespace

void parse_aside(Services& services, std::vector<SourceFile> files, std::function<void(PolicyInput)> then) {
  auto input = std::make_shared<PolicyInput>(PolicyInput{.files = std::move(files), .parsed = {}});
  const Given given{.countries = services.places != nullptr,
                    .node_lease = services.log.world().installation.node_lease};
  boost::asio::post(services.pool, [strand = services.strand, input, given, then = std::move(then)] {
    read_policy(*input, given);
    boost::asio::post(strand, [input, then] { then(std::move(*input)); });
  });
}

Reply refused(const PolicyInput& input) {
  const auto& diagnostics = input.parsed.diagnostics;
  const auto errors = std::ranges::count(diagnostics, policy::Severity::error, &policy::Diagnostic::severity);
  std::string detail =
      input.parsed.ok()
          ? fmt::format("{} of the policy's {} fail{}", input.tests_failed, counted(input.tests, "test"),
                        input.tests_failed == 1 ? "s" : "")
          : fmt::format("the policy has {}", counted(static_cast<std::size_t>(errors), "error"));
  for (const policy::Diagnostic& diagnostic : diagnostics) {
    detail += '\n';
    detail += policy::render(diagnostic);
  }
  return problem(
      422,
      Error{.code = ErrorCode::invalid,
            .what = detail,
            .hint = "the policy in force is unchanged; `cordon policy check DIR` shows the same off line"},
      {{"diagnostics", views(diagnostics)}});
}

}  // namespace cordon::controller::api
