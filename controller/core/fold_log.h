#pragma once
// Reads records from the storage and folds them, verifying as it goes.

#include "controller/log/log_store.h"
#include "controller/world/apply.h"
#include "controller/world/policy_history.h"
#include "proto/signer.h"

namespace cordon::controller {

/// A part of the log as read and verified: its records follow on one another and on what was asked for, and
/// the last of them has a signed head.
struct LogPart {
  std::vector<Record> records;
  SignedHead head;  ///< of the last record; revision 0: there was nothing
};

/// At most about `limit` records after (`after`, `hash`), ending at a signed head.
Result<LogPart> read_part(LogStore& store, Revision after, const Sha256& hash, wire::HeadVerifier& verifier,
                          std::size_t limit = 1000);

/// The format (controller/world/kinds.h) of a log of which it was `before`, with `record` at its end.
std::uint32_t format_after(std::uint32_t before, const Record& record);

struct Folded {
  policy::World world;
  std::uint32_t format = 1;
  PolicyHistory policies;
  SignedHead head;
};

/// The whole log.
Result<Folded> fold_log(LogStore& store, wire::HeadVerifier& verifier, const Unsealer& unseal,
                        const TimeZones& zones);

}  // namespace cordon::controller
