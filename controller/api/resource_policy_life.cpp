// What becomes of a policy once it is applied: confirmed, rolled back, looked at again.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/json/value.hpp>
#include <map>
#include <memory>

#include "base/unified_diff.h"
#include "controller/api/answers.h"
#include "controller/api/policy_admission.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"
#include "controller/distribution/distribution.h"
#include "controller/log/log_store.h"

namespace cordon::controller::api {
namespace {

namespace json = boost::json;

constexpr std::size_t kMostNamed = 5;

Revision revision_of(const Call& call, std::string_view member) {
  return Revision(static_cast<std::uint64_t>(call.number(member, 0)));
}

/// A node that refused the policy keeps the state it had: that is no policy to keep (I9).
Result<> check_not_refused(const Services& services, Revision revision) {
  std::string nodes;
  std::size_t refused = 0;
  for (const ReceiptStatus& receipt : services.distribution->receipts(revision)) {
    if (receipt.nack.empty() || ++refused > kMostNamed) continue;
    nodes += fmt::format("{}\"{}\" ({})", nodes.empty() ? "" : ", ", receipt.device.value, receipt.nack);
  }
  if (refused == 0) return {};
  if (refused > kMostNamed) nodes += fmt::format(" and {} more", refused - kMostNamed);
  return fail(ErrorCode::conflict,
              fmt::format("policy revision {} is refused by {} it concerns: {}", revision.value,
                          refused == 1 ? "a node" : fmt::format("{} nodes", refused), nodes),
              "take it back (cordon policy rollback), or mend the node, which is sent it again");
}

void confirm_policy(Services& services, const Call& call, Respond respond) {
  const Revision revision = revision_of(call, "revision");
  const policy::World& world = services.log.world();
  const bool waits = world.pending && world.policy_revision == revision;
  if (const auto good = waits ? check_not_refused(services, revision) : Result<>{}; !good) {
    return respond(problem(good.error()));
  }
  commit(services, call, kinds::PolicyConfirmed{revision}, {{"policy_revision", revision.value}}, respond);
}

/// Reads what a record applied, on the pool; the answer comes on the strand. Revision 0 is no policy at all.
void read_policy_at(Services& services, Revision revision,
                    std::function<void(Result<std::vector<SourceFile>>)> then) {
  const policy::World& world = services.log.world();
  if (revision.value == 0) return then(std::vector<SourceFile>{});
  if (revision == world.policy_revision) return then(*world.policy_files);
  if (services.log.policies().find(revision) == nullptr) {
    return then(fail(ErrorCode::not_found, fmt::format("revision {} applied no policy", revision.value),
                     "`cordon policy history` shows those that did"));
  }
  boost::asio::post(services.pool, [&services, revision, then = std::move(then)] {
    auto files = std::make_shared<Result<std::vector<SourceFile>>>(
        fail(ErrorCode::io, fmt::format("revision {} can't be read", revision.value)));
    const auto records = services.store.read(Revision(revision.value - 1), 1);
    if (!records) {
      *files = std::unexpected(records.error());
    } else if (!records->empty()) {
      const Record& record = records->front();
      const auto kind = kinds::decode(record.kind, record.version, record.payload);
      if (const auto* applied = kind ? std::get_if<kinds::PolicyApplied>(&*kind) : nullptr) {
        *files = applied->files;
      }
    }
    boost::asio::post(services.strand, [files, then] { then(std::move(*files)); });
  });
}

void roll_back_pending(Services& services, const Call& call, const Respond& respond) {
  const policy::World& world = services.log.world();
  if (!world.pending) {
    return respond(problem(Error{.code = ErrorCode::conflict,
                                 .what = "no policy waits for confirmation, so there is nothing to take back",
                                 .hint = "to return to an older one: cordon policy rollback REVISION"}));
  }
  commit(services, call,
         kinds::PolicyRolledBack{world.policy_revision, call.text("reason", "taken back by an operator")},
         {{"policy_revision", world.pending->confirmed_revision.value},
          {"undone", world.policy_revision.value},
          {"confirm_by", nullptr},
          {"diagnostics", json::array{}}},
         respond);
}

void roll_back_policy(Services& services, const Call& call, Respond respond) {
  const policy::World& world = services.log.world();
  const Revision revision = revision_of(call, "revision");
  const bool back = world.pending && revision == world.pending->confirmed_revision;
  if (revision.value == 0 || back) return roll_back_pending(services, call, respond);
  if (const auto free = check_none_pending(services); !free) return respond(problem(free.error()));
  if (revision == world.policy_revision) {
    return respond(problem(Error{.code = ErrorCode::conflict,
                                 .what = fmt::format("policy revision {} is in force", revision.value),
                                 .hint = "`cordon policy history` shows the older ones"}));
  }
  read_policy_at(services, revision,
                 [&services, call, revision, respond](Result<std::vector<SourceFile>> files) {
                   if (!files) return respond(problem(files.error()));
                   put_in_force(services, call, std::move(*files),
                                {{"undone", 0}, {"policy_revision", revision.value}}, respond);
                 });
}

void list_history(Services& services, const Call& call, Respond respond) {
  const auto limit = static_cast<std::size_t>(call.number("limit", 100));
  const auto& entries = services.log.policies().entries();
  const Revision after = revision_of(call, "after");
  json::array items;
  json::value next;
  for (auto it = after.value == 0 ? entries.end() : entries.lower_bound(after); it != entries.begin();) {
    if (items.size() == limit) {
      next = std::to_string(it->first.value);
      break;
    }
    items.push_back(view((--it)->second, services.log.world()));
  }
  respond(json_reply({{"items", std::move(items)}, {"next", std::move(next)}}));
}

struct FilePair {
  const SourceFile *before = nullptr, *after = nullptr;
};

json::object differences(Revision a, const std::vector<SourceFile>& before, Revision b,
                         const std::vector<SourceFile>& after) {
  std::map<std::string_view, FilePair> pairs;
  for (const SourceFile& file : before) pairs[file.name].before = &file;
  for (const SourceFile& file : after) pairs[file.name].after = &file;
  json::array files;
  for (const auto& [name, pair] : pairs) {
    const auto label = [&](Revision revision, const SourceFile* file) {
      return file == nullptr ? std::string("/dev/null")
                             : fmt::format("{}\trevision {}", name, revision.value);
    };
    const std::string text =
        unified_diff(label(a, pair.before), pair.before == nullptr ? "" : pair.before->text,
                     label(b, pair.after), pair.after == nullptr ? "" : pair.after->text);
    const bool both = pair.before != nullptr && pair.after != nullptr;
    if (both && text.empty()) continue;
    files.push_back(json::object{{"name", name},
                                 {"change", both                     ? "changed"
                                            : pair.before == nullptr ? "added"
                                                                     : "removed"},
                                 {"diff", text}});
  }
  return {{"a", a.value}, {"b", b.value}, {"files", std::move(files)}};
}

void diff_policies(Services& services, const Call& call, Respond respond) {
  const Revision a = revision_of(call, "a");
  const Revision b(static_cast<std::uint64_t>(
      call.number("b", static_cast<std::int64_t>(services.log.world().policy_revision.value))));
  read_policy_at(services, a, [&services, a, b, respond](Result<std::vector<SourceFile>> before) {
    if (!before) return respond(problem(before.error()));
    read_policy_at(
        services, b,
        [&services, a, b, respond, before = std::move(*before)](Result<std::vector<SourceFile>> after) {
          if (!after) return respond(problem(after.error()));
          boost::asio::post(services.pool, [&services, a, b, respond, before, after = std::move(*after)] {
            auto answer = std::make_shared<json::object>(differences(a, before, b, after));
            boost::asio::post(services.strand, [answer, respond] { respond(json_reply(*answer)); });
          });
        });
  });
}

Field revision_field(std::string_view name, std::string_view about, bool required) {
  return {.name = name, .type = Type::integer, .about = about, .required = required};
}

}  // namespace

Routes policy_life_routes() {
  return {{.method = "POST",
           .pattern = "/v1/policy/confirm",
           .operation = "confirmPolicy",
           .role = Role::engineer,
           .summary = "Keeps the policy that waits; 409 when it is another, its time has passed, or a node "
                      "concerned refused it",
           .body = {revision_field("revision", "of the policy that waits, as apply answered it", true),
                    waiting()},
           .answer = "PolicyConfirmed",
           .handler = confirm_policy},
          {.method = "POST",
           .pattern = "/v1/policy/rollback",
           .operation = "rollBackPolicy",
           .role = Role::engineer,
           .summary = "Takes the policy that waits back; or, with the revision of an older one, applies that "
                      "again, which then waits for confirmation",
           .body = {revision_field("revision", "of an older policy; left out: take back what waits", false),
                    {.name = "reason", .about = "for the audit trail", .longest = 200},
                    confirm_within_field(),
                    waiting()},
           .answer = "PolicyRolledBack",
           .handler = roll_back_policy},
          {.method = "GET",
           .pattern = "/v1/policy/history",
           .operation = "listPolicies",
           .role = Role::viewer,
           .summary = "Every policy that was applied, the newest first, and what became of it",
           .query = {{.name = "limit",
                      .type = Type::integer,
                      .about = "how many at most (default 100)",
                      .minimum = 1,
                      .maximum = 1000},
                     {.name = "after", .type = Type::integer, .about = "`next` of the page before"}},
           .answer = "PolicyRecord",
           .kind = Body::list,
           .handler = list_history},
          {.method = "GET",
           .pattern = "/v1/policy/diff",
           .operation = "diffPolicies",
           .role = Role::viewer,
           .summary = "What changed from one policy to another, file by file",
           .query = {revision_field("a", "revision that applied the one; 0: no policy", true),
                     revision_field("b", "of the other (default: the one in force)", false)},
           .answer = "PolicyDiff",
           .handler = diff_policies}};
}

}  // namespace cordon::controller::api
