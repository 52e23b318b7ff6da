#pragma once
// One change, as the log keeps it. The bytes that are stored are the bytes that are hashed.

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"

namespace cordon::controller {

/// A change that somebody asks for; becomes a Record when it is committed.
struct Proposal {
  std::string actor;    ///< "root@local", "operator:NAME", "device:ID", "controller"
  std::string kind;     ///< controller/world/kinds.h lists them
  std::uint32_t version = 1;
  std::string payload;  ///< canonical JSON: keys sorted, no spaces, integers only
};

struct Record {
  Revision revision;  ///< previous + 1
  Timestamp at{};     ///< UTC; the later of the previous + 1 us and now
  std::string actor;
  std::string kind;
  std::uint32_t version = 1;
  std::string payload;
  Sha256 previous{};
  Sha256 hash{};
};

/// SHA-256 over length-prefixed fields: revision, at, actor, kind, version, payload, previous.
Sha256 hash_of(const Record& record);

/// A batch's last record, signed with a controller's key (proto/receipt.h: head_text).
struct SignedHead {
  Revision revision;
  Sha256 hash{};
  Bytes signature;
  std::string signer_pem;  ///< chain, leaf first
};

/// Checks that records follow on (revision, hash) without a gap, an edit or a reorder; the error names the revision.
Result<> verify_chain(const std::vector<Record>& records, Revision after, const Sha256& after_hash);

}  // namespace cordon::controller
