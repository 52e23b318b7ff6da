#pragma once
// Which nodes each revision concerns and when each enforced it. The newest in memory, all of them in
// receipts.db.

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "controller/distribution/distribution.h"
#include "controller/log/sqlite.h"

namespace cordon::controller {

/// What a device signed, as it is kept.
struct SignedReceipt {
  Revision head;  ///< of the head it saw
  Sha256 head_hash{};
  Sha256 digest{};
  Timestamp at{};
  Bytes signature;
};

/// What is kept of receipts on the disk; the oldest revisions go first.
struct ReceiptBounds {
  Seconds keep{90 * 24 * 3600};  ///< by the time that the device signed
  std::uint64_t max_bytes = 256u << 20;
};

class ReceiptLedger {
 public:
  static Result<std::unique_ptr<ReceiptLedger>> open(const std::filesystem::path& path,
                                                     const ReceiptBounds& bounds = {});
  ReceiptLedger(Sqlite database, const ReceiptBounds& bounds)
      : database_(std::move(database)), bounds_(bounds) {}

  /// `revision`, committed at `committed`, changes what `device` enforces.
  void concern(Revision revision, Timestamp committed, const DeviceId& device, bool self);
  /// The device enforces everything up to `complete`.
  void acked(const DeviceId& device, Revision complete, Timestamp now, const SignedReceipt& receipt);
  void nacked(const DeviceId& device, const std::string& reason);
  /// The device is gone for good: nothing is expected of it any more.
  void forget(const DeviceId& device);

  /// Without leases_end, which the caller knows.
  std::vector<ReceiptStatus> receipts(Revision revision);
  /// Those that haven't answered yet: not acked, not nacked, not the isolated host itself.
  std::vector<DeviceId> outstanding(Revision revision) const;
  /// Whether each of the others concerned has acked, which lets a source begin.
  bool others_acked(Revision revision, const DeviceId& source) const;
  /// The oldest revision that the device hasn't acked, and when it was committed.
  std::optional<Timestamp> oldest_open(const DeviceId& device) const;

  /// Writes what was acked since and, now and then, takes away what is past the bounds; call it every second
  /// or so and at the end.
  Result<> flush(Timestamp now);

 private:
  struct Entry {
    Timestamp committed{};
    std::map<DeviceId, ReceiptStatus> nodes;
  };
  struct Row {
    Revision revision;
    DeviceId device;
    bool self = false;
    std::int64_t after_us = 0;
    SignedReceipt receipt;
  };
  Result<std::vector<ReceiptStatus>> read(Revision revision);
  void shrink();
  Result<> write();
  Result<> prune(Timestamp now);

  Sqlite database_;
  const ReceiptBounds bounds_;
  Timestamp prune_at_{};
  std::map<Revision, Entry> entries_;
  std::map<DeviceId, std::set<Revision>> open_;
  std::vector<Row> unwritten_;
};

}  // namespace cordon::controller
