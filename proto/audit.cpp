#include "proto/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace cordon::wire {

Result<Checkpoint> Checkpoint::parse(std::string_view text) {
  const auto wrong = [] {
    return fail(ErrorCode::invalid, "a checkpoint is REVISION:HASH, with 64 hexadecimal digits",
                "take it from an earlier \"cordon audit verify\"");
  };
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return wrong();
  Checkpoint out;
  const auto number = text.substr(0, colon);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), out.revision.value);
  const auto hash = from_hex(text.substr(colon + 1));
  if (error != std::errc{} || end != number.data() + number.size() || !hash ||
      hash->size() != out.hash.size()) {
    return wrong();
  }
  std::ranges::copy(*hash, out.hash.begin());
  return out;
}

std::string Checkpoint::to_string() const {
  return fmt::format("{}:{}", revision.value, to_hex(hash));
}

Auditor::Auditor(AuditOptions options) : options_(std::move(options)), verifier_(options_.trust_bundle_pem) {}

void Auditor::fault(Revision revision, std::string reason) {
  if (!report_.fault) report_.fault = AuditFault{.revision = revision, .reason = std::move(reason)};
}

void Auditor::record(const LogRecord& record) {
  if (report_.fault) return;
  const Revision expected(revision_.value + 1);
  if (const auto link = verify_link(record, revision_, hash_, at_); !link)
    return fault(expected, link.error().what);
  revision_ = record.revision;
  hash_ = record.hash;
  at_ = record.at;
  ++uncovered_;
  if (options_.against && options_.against->revision == revision_) {
    if (options_.against->hash != hash_) {
      return fault(revision_, "the log was rewritten: this revision is another than the checkpoint's");
    }
    met_checkpoint_ = true;
  }
}

void Auditor::head(const LogHead& head) {
  if (report_.fault) return;
  const Revision first_uncovered(report_.last.revision.value + 1);
  if (head.revision != revision_ || head.hash != hash_ || uncovered_ == 0) {
    return fault(first_uncovered,
                 fmt::format("a signed head of revision {} stands where revision {} ends a batch",
                             head.revision.value, revision_.value));
  }
  if (const auto signed_well = verifier_.verify(head, at_); !signed_well) {
    return fault(first_uncovered, signed_well.error().message());
  }
  report_.last = {.revision = revision_, .hash = hash_};
  report_.last_at = at_;
  report_.records += std::exchange(uncovered_, 0);
  ++report_.heads;
}

void Auditor::take(const ExportLine& line) {
  if (line.record) record(*line.record);
  if (line.head) head(*line.head);
}

void Auditor::line(std::string_view line) {
  if (report_.fault) return;
  const auto read = reader_.read(line);
  if (!read) return fault(Revision(revision_.value + 1), read.error().message());
  take(*read);
}

AuditReport Auditor::finish() {
  if (!report_.fault && uncovered_ != 0) {
    fault(Revision(report_.last.revision.value + 1),
          "the log is cut: no signed head covers its last records");
  }
  if (!report_.fault && report_.records == 0) fault(Revision(1), "there is no record");
  if (!report_.fault && options_.against && !met_checkpoint_) {
    fault(Revision(revision_.value + 1),
          fmt::format("the log is cut: it ends before the checkpoint at revision {}",
                      options_.against->revision.value));
  }
  for (const auto& [chain, signer] : verifier_.signers()) report_.signers.insert(signer.name);
  return report_;
}

AuditReport verify_export(std::string_view text, const AuditOptions& options) {
  Auditor auditor(options);
  while (!text.empty()) {
    const auto end = text.find('\n');
    auditor.line(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return auditor.finish();
}

}  // namespace cordon::wire
