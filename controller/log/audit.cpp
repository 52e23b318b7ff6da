#include "controller/log/audit.h"

#include <algorithm>

namespace cordon::controller {

namespace {

constexpr std::size_t kRecordsARead = 256;

/// Calls with each record, and with each signed head after the record that it signs.
Result<> each(LogStore& store, const std::function<Result<>(const Record&)>& on_record,
              const std::function<Result<>(const SignedHead&)>& on_head) {
  CORDON_ASSIGN(const auto last, store.head());
  Revision done{};
  std::optional<SignedHead> next;
  while (done < last.first) {
    CORDON_ASSIGN(const auto records, store.read(done, kRecordsARead));
    if (records.empty()) break;
    for (const auto& record : records) {
      if (last.first < record.revision) return {};
      CORDON_TRY(on_record(record));
      done = record.revision;
      if (!next || next->revision < done) {
        CORDON_ASSIGN(next, store.signed_head_at(done));
      }
      if (next && next->revision == done) CORDON_TRY(on_head(*next));
    }
  }
  return {};
}

}  // namespace

Result<wire::AuditReport> verify_log(LogStore& store, const wire::AuditOptions& options) {
  wire::Auditor auditor(options);
  CORDON_TRY(each(
      store,
      [&](const Record& record) -> Result<> {
        auditor.record(record);
        return {};
      },
      [&](const SignedHead& head) -> Result<> {
        auditor.head(head);
        return {};
      }));
  return auditor.finish();
}

Result<> export_log(LogStore& store, const std::function<Result<>(std::string_view lines)>& write) {
  wire::ExportWriter writer;
  std::string lines;
  CORDON_TRY(each(
      store,
      [&](const Record& record) -> Result<> {
        lines += writer.record(record);
        return {};
      },
      [&](const SignedHead& head) -> Result<> {
        lines += writer.head(head);
        CORDON_TRY(write(lines));
        lines.clear();
        return {};
      }));
  return lines.empty() ? Result<>() : write(lines);
}

}  // namespace cordon::controller
