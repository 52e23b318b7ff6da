#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <memory>

#include "controller/api/answers.h"
#include "controller/api/routes.h"
#include "controller/api/views.h"
#include "controller/core/change_log.h"
#include "controller/core/services.h"
#include "controller/log/log_store.h"
#include "controller/pki/authority.h"
#include "proto/audit.h"

namespace cordon::controller::api {
namespace {

constexpr std::size_t kPiece = 500;  // records read at once

/// Reads from storage happen on the pool; the answer is made on the strand.
template <class Value>
void aside(Services& services, std::function<Result<Value>()> work, std::function<void(Result<Value>)> then) {
  boost::asio::post(services.pool,
                    [strand = services.strand, work = std::move(work), then = std::move(then)] {
                      auto value = std::make_shared<Result<Value>>(work());
                      boost::asio::post(strand, [value, then] { then(std::move(*value)); });
                    });
}

void list_audit(Services& services, const Call& call, Respond respond) {
  const Revision after(static_cast<std::uint64_t>(call.number("after", 0)));
  const auto limit = static_cast<std::size_t>(call.number("limit", 100));
  aside<std::vector<Record>>(
      services, [&services, after, limit] { return services.store.read(after, limit + 1); },
      [&services, limit, respond](const Result<std::vector<Record>>& records) {
        if (!records) return respond(problem(records.error()));
        boost::json::array items;
        boost::json::value next;
        for (const Record& record : *records) {
          if (items.size() == limit) {
            next = std::to_string(records->at(limit - 1).revision.value);
            break;
          }
          items.push_back(view(record, services.log.world()));
        }
        respond(json_reply({{"items", std::move(items)}, {"next", std::move(next)}}));
      });
}

/// Goes through the log up to the signed head it began with, piece by piece.
class Walk {
 public:
  Walk(LogStore& store, SignedHead last) : store_(store), last_(std::move(last)) {}

  /// Calls `on_record` and `on_head` in the order of an export; false: that was all.
  template <class OnRecord, class OnHead>
  Result<bool> step(OnRecord&& on_record, OnHead&& on_head) {
    if (after_ >= last_.revision) return false;
    CORDON_ASSIGN(const auto records, store_.read(after_, kPiece));
    if (records.empty()) return fail(ErrorCode::io, "the log ends before its signed head");
    for (const Record& record : records) {
      if (record.revision > last_.revision) break;
      if (!batch_) {
        CORDON_ASSIGN(batch_, store_.signed_head_at(record.revision));
      }
      on_record(record);
      if (batch_ && record.revision == batch_->revision) {
        on_head(*batch_);
        batch_.reset();
      }
      after_ = record.revision;
    }
    return true;
  }

 private:
  LogStore& store_;
  SignedHead last_;
  Revision after_;
  std::optional<SignedHead> batch_;
};

void export_audit(Services& services, const Call&, Respond respond) {
  aside<std::optional<SignedHead>>(
      services, [&services] { return services.store.last_signed_head(); },
      [&services, respond](const Result<std::optional<SignedHead>>& last) {
        if (!last) return respond(problem(last.error()));
        Reply reply{.content_type = "application/jsonl"};
        auto walk = std::make_shared<Walk>(services.store, last->value_or(SignedHead{}));
        auto writer = std::make_shared<wire::ExportWriter>();
        reply.more = [walk, writer]() -> Result<std::string> {
          std::string piece;
          CORDON_ASSIGN(const bool any,
                        walk->step([&](const Record& record) { piece += writer->record(record); },
                                   [&](const SignedHead& head) { piece += writer->head(head); }));
          (void)any;
          return piece;
        };
        respond(std::move(reply));
      });
}

Result<wire::AuditReport> verify(Services& services, const std::optional<wire::Checkpoint>& against,
                                 const std::string& trust_bundle) {
  CORDON_ASSIGN(const auto last, services.store.last_signed_head());
  wire::Auditor auditor({.trust_bundle_pem = trust_bundle, .against = against});
  Walk walk(services.store, last.value_or(SignedHead{}));
  for (bool more = true; more;) {
    CORDON_ASSIGN(more, walk.step([&](const Record& record) { auditor.record(record); },
                                  [&](const SignedHead& head) { auditor.head(head); }));
  }
  return auditor.finish();
}

void verify_audit(Services& services, const Call& call, Respond respond) {
  std::optional<wire::Checkpoint> against;
  if (const std::string text = call.text("against"); !text.empty()) {
    auto checkpoint = wire::Checkpoint::parse(text);
    if (!checkpoint) return respond(problem(checkpoint.error()));
    against = *checkpoint;
  }
  aside<wire::AuditReport>(
      services,
      [&services, against, trust = services.authority.trust_bundle_pem()] {
        return verify(services, against, trust);
      },
      [respond](const Result<wire::AuditReport>& report) {
        if (!report) return respond(problem(report.error()));
        boost::json::array signers;
        for (const std::string& signer : report->signers) signers.emplace_back(signer);
        respond(json_reply({{"ok", report->ok()},
                            {"records", report->records},
                            {"heads", report->heads},
                            {"revision", report->last.revision.value},
                            {"at", time_or_null(report->last_at)},
                            {"checkpoint", report->last.to_string()},
                            {"signers", std::move(signers)},
                            {"fault", report->fault ? report->fault->reason : ""},
                            {"fault_revision", report->fault ? report->fault->revision.value : 0}}));
      });
}

}  // namespace

Routes audit_routes() {
  return {{.method = "GET",
           .pattern = "/v1/audit",
           .operation = "listAudit",
           .role = Role::auditor,
           .summary = "The change log: every record, in order",
           .query = {{.name = "limit",
                      .type = Type::integer,
                      .about = "how many at most (default 100)",
                      .minimum = 1,
                      .maximum = 1000},
                     {.name = "after",
                      .type = Type::integer,
                      .about = "records after this revision; `next` of the page before"}},
           .answer = "AuditRecord",
           .kind = Body::list,
           .handler = list_audit},
          {.method = "GET",
           .pattern = "/v1/audit/export",
           .operation = "exportAudit",
           .role = Role::auditor,
           .summary = "All records and signed heads, for `cordon audit verify FILE`",
           .kind = Body::json_lines,
           .handler = export_audit},
          {.method = "GET",
           .pattern = "/v1/audit/verify",
           .operation = "verifyAudit",
           .role = Role::auditor,
           .summary = "Checks the whole log as it is stored: hashes, order, signed heads",
           .query = {{.name = "against", .about = "a checkpoint kept elsewhere, REVISION:HASH"}},
           .answer = "AuditVerified",
           .handler = verify_audit}};
}

}  // namespace cordon::controller::api
