#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <memory>
#include <set>

#include "controller/api/answers.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"
#include "policy/parse.h"

namespace cordon::controller::api {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxFiles = 1000;

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

/// Parses on the pool (a large policy takes a while) and gives the result on the strand.
void parse_aside(Services& services, std::vector<SourceFile> files,
                 std::function<void(std::vector<SourceFile>, policy::ParseResult)> then) {
  auto shared = std::make_shared<std::vector<SourceFile>>(std::move(files));
  boost::asio::post(services.pool, [strand = services.strand, shared, then = std::move(then)] {
    auto parsed = std::make_shared<policy::ParseResult>(policy::parse(*shared, system_time_zones()));
    boost::asio::post(strand, [shared, parsed, then] { then(std::move(*shared), std::move(*parsed)); });
  });
}

void get_policy(Services& services, const Call&, Respond respond) {
  const policy::World& world = services.log.world();
  json::array files;
  for (const SourceFile& file : world.policy_files) {
    files.push_back(json::object{{"name", file.name}, {"text", file.text}});
  }
  respond(json_reply({{"revision", world.policy_revision.value}, {"files", std::move(files)}}));
}

void check_policy(Services& services, const Call& call, Respond respond) {
  auto files = files_of(call);
  if (!files) return respond(problem(files.error()));
  parse_aside(services, std::move(*files),
              [respond](std::vector<SourceFile>, const policy::ParseResult& parsed) {
                respond(json_reply({{"ok", parsed.ok()}, {"diagnostics", views(parsed.diagnostics)}}));
              });
}

Reply refused(const policy::ParseResult& parsed) {
  const auto errors =
      std::ranges::count(parsed.diagnostics, policy::Severity::error, &policy::Diagnostic::severity);
  std::string detail = fmt::format("the policy has {} error{}", errors, errors == 1 ? "" : "s");
  for (const policy::Diagnostic& diagnostic : parsed.diagnostics) {
    detail += '\n';
    detail += policy::render(diagnostic);
  }
  return problem(
      422,
      Error{.code = ErrorCode::invalid,
            .what = detail,
            .hint = "the policy in force is unchanged; `cordon policy check DIR` shows the same off line"},
      {{"diagnostics", views(parsed.diagnostics)}});
}

void apply_policy(Services& services, const Call& call, Respond respond) {
  auto files = files_of(call);
  if (!files) return respond(problem(files.error()));
  parse_aside(
      services, std::move(*files),
      [&services, call, respond](std::vector<SourceFile> parsed_files, const policy::ParseResult& parsed) {
        if (!parsed.ok()) return respond(refused(parsed));
        commit(services, call, kinds::PolicyApplied{std::move(parsed_files)},
               {{"diagnostics", views(parsed.diagnostics)}}, respond);
      });
}

Field files_field() {
  return {.name = "files",
          .type = Type::objects,
          .about = "all files of the policy",
          .required = true,
          .longest = kMaxFiles,
          .ref = "PolicyFile"};
}

}  // namespace

Routes policy_routes() {
  return {{.method = "GET",
           .pattern = "/v1/policy",
           .operation = "getPolicy",
           .role = Role::viewer,
           .summary = "The policy in force, as it was written",
           .answer = "Policy",
           .handler = get_policy},
          {.method = "POST",
           .pattern = "/v1/policy/check",
           .operation = "checkPolicy",
           .role = Role::viewer,
           .summary = "Every diagnostic of a policy; nothing changes",
           .body = {files_field()},
           .answer = "PolicyCheck",
           .handler = check_policy},
          {.method = "POST",
           .pattern = "/v1/policy/apply",
           .operation = "applyPolicy",
           .role = Role::engineer,
           .summary = "Puts a policy in force; 422 with all diagnostics when it has an error",
           .body = {files_field(), waiting()},
           .answer = "PolicyApplied",
           .handler = apply_policy}};
}

}  // namespace cordon::controller::api
