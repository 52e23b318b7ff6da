#pragma once
// An export of the change log, and its verification by anyone who holds the trust bundle: no controller is
// needed.
//
// An export is JSON lines, each canonical (keys sorted, no spaces), in the order of the log:
//   {"signer":{"id":"HEX","pem":"..."}}                       before its first use; id: SHA-256 of the pem's
//   bytes
//   {"record":{"actor":"..","at":US,"hash":"HEX","kind":"..","payload":"..","previous":"HEX","revision":N,"version":N}}
//   {"head":{"hash":"HEX","revision":N,"signature":"BASE64","signer":"HEX"}}   after the last record of its
//   batch
// It starts at revision 1 and ends with a head. `payload` is a string whose bytes are those that are hashed.

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "proto/signer.h"

namespace cordon::wire {

/// Writes the lines of an export, each ended by '\n'.
class ExportWriter {
 public:
  std::string record(const LogRecord& record);
  /// With the signer's line before it, when it is new.
  std::string head(const LogHead& head);

 private:
  std::set<std::string> told_;
};

/// One line read back.
struct ExportLine {
  std::optional<LogRecord> record;
  std::optional<LogHead> head;  ///< with the signer's chain; neither: the line told a signer
};

/// Reads the lines of an export, strictly.
class ExportReader {
 public:
  Result<ExportLine> read(std::string_view line);

 private:
  std::map<std::string, std::string> signers_;  // id to pem
};

/// A point of the log that somebody kept: "17:HEX".
struct Checkpoint {
  Revision revision;
  Sha256 hash{};
  static Result<Checkpoint> parse(std::string_view text);
  std::string to_string() const;
  bool operator==(const Checkpoint&) const = default;
};

struct AuditOptions {
  std::string trust_bundle_pem;       ///< roots that signers must lead to
  std::optional<Checkpoint> against;  ///< must be in the log as it was kept
};

/// What is wrong, and the first revision that can't be relied on.
struct AuditFault {
  Revision revision;
  std::string reason;
};

struct AuditReport {
  std::optional<AuditFault> fault;  ///< none: every record is as it was written, and none is missing
  Checkpoint last;                  ///< the last record that is verified: a checkpoint to keep
  Timestamp last_at{};
  std::uint64_t records = 0, heads = 0;  ///< verified
  std::set<std::string> signers;         ///< names of the controllers that signed
  bool ok() const { return !fault; }
};

/// Takes records and heads in order. Nothing counts as verified before a signed head covers it. After the
/// first fault the rest is ignored.
class Auditor {
 public:
  explicit Auditor(AuditOptions options);
  void record(const LogRecord& record);
  void head(const LogHead& head);
  /// A line of an export, without its '\n'.
  void line(std::string_view line);
  AuditReport finish();

 private:
  void fault(Revision revision, std::string reason);
  void take(const ExportLine& line);

  AuditOptions options_;
  HeadVerifier verifier_;
  ExportReader reader_;
  AuditReport report_;
  Revision revision_;  // of the last record taken, covered or not
  Sha256 hash_{};
  Timestamp at_{};
  std::uint64_t uncovered_ = 0;
  bool met_checkpoint_ = false;
};

/// A whole export.
AuditReport verify_export(std::string_view text, const AuditOptions& options);

}  // namespace cordon::wire
