#pragma once
// One change as the log keeps it, and the chain that records make. Here and not in controller/, because an
// export of the log is verified by people who have no controller at hand.

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace cordon::wire {

struct LogRecord {
  Revision revision;  ///< previous + 1
  Timestamp at{};     ///< UTC; the later of the previous + 1 us and now
  std::string actor;
  std::string kind;
  std::uint32_t version = 1;
  std::string payload;  ///< canonical JSON; the bytes that are stored are the bytes that are hashed
  Sha256 previous{};
  Sha256 hash{};
  bool operator==(const LogRecord&) const = default;
};

/// SHA-256 over the fields but `hash`; the grammar stands in log_record.cpp.
Sha256 hash_of(const LogRecord& record);

/// A batch's last record, signed with a controller's key (proto/receipt.h: head_text).
struct LogHead {
  Revision revision;
  Sha256 hash{};
  Bytes signature;
  std::string signer_pem;  ///< chain, leaf first
  bool operator==(const LogHead&) const = default;
};

/// Checks that `record` follows on a record of `after`, `after_hash` and `after_at`: revision, previous, time
/// and hash.
Result<> verify_link(const LogRecord& record, Revision after, const Sha256& after_hash, Timestamp after_at);

/// Checks that records follow on (revision, hash) without a gap, an edit or a reorder; the error names the
/// revision.
Result<> verify_chain(const std::vector<LogRecord>& records, Revision after, const Sha256& after_hash);

}  // namespace cordon::wire
