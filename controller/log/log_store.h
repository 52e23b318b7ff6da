#pragma once
// Where the change log is kept. SQLite here; PostgreSQL when one machine is not enough.

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "controller/log/record.h"

namespace cordon::controller {

class LogStore {
 public:
  virtual ~LogStore() = default;
  /// The last record's revision and hash (0 and zeros: empty), read from the storage, not from memory.
  virtual Result<std::pair<Revision, Sha256>> head() = 0;
  /// Up to `limit` records after `after`, in order.
  virtual Result<std::vector<Record>> read(Revision after, std::size_t limit) = 0;
  /// All of them and the signed head in one durable transaction, or none. `conflict`: someone else wrote
  /// meanwhile.
  virtual Result<> commit(std::span<const Record> records, const SignedHead& head) = 0;
  /// The signed head of the batch that holds `revision` or the first one after it.
  virtual Result<std::optional<SignedHead>> signed_head_at(Revision revision) = 0;
  virtual Result<std::optional<SignedHead>> last_signed_head() = 0;
};

/// The SQLite store in `database`, made when it isn't there (0600, WAL, synchronous=FULL). May be called from
/// any thread; reads never wait for a commit. A full disk and a read-only database are `unavailable`, a
/// damaged one is `io`.
Result<std::unique_ptr<LogStore>> open_log_store(const std::filesystem::path& database);

}  // namespace cordon::controller
