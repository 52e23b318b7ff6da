#include "controller/distribution/receipt_ledger.h"

#include <algorithm>

#include "base/log.h"

namespace cordon::controller {

namespace {
constexpr const char* kReceiptSchema = R"(
CREATE TABLE IF NOT EXISTS receipts (
  revision INTEGER NOT NULL, device TEXT NOT NULL, self INTEGER NOT NULL, after_us INTEGER NOT NULL,
  head INTEGER NOT NULL, head_hash BLOB NOT NULL, digest BLOB NOT NULL, at INTEGER NOT NULL,
  signature BLOB NOT NULL, PRIMARY KEY (revision, device)) WITHOUT ROWID;
)";
constexpr std::size_t kRevisionsInMemory = 4096;
// If the disk is full for long, the oldest that wait to be written are given up, not the process.
constexpr std::size_t kMaxUnwritten = 100'000;
constexpr auto kPruneEvery = std::chrono::minutes(10);
constexpr std::int64_t kPruneRows = 10'000;  // at a time, when there are too many bytes
}  // namespace

Result<std::unique_ptr<ReceiptLedger>> ReceiptLedger::open(const std::filesystem::path& path,
                                                           const ReceiptBounds& bounds) {
  CORDON_ASSIGN(Sqlite database, Sqlite::open(path, {.durable = false, .shrinks = true}));
  CORDON_TRY(database.execute(kReceiptSchema));
  return std::make_unique<ReceiptLedger>(std::move(database), bounds);
}

void ReceiptLedger::concern(Revision revision, Timestamp committed, const DeviceId& device, bool self) {
  Entry& entry = entries_[revision];
  entry.committed = committed;
  entry.nodes[device] = ReceiptStatus{.device = device, .self = self};
  open_[device].insert(revision);
  shrink();
}

void ReceiptLedger::shrink() {
  while (entries_.size() > kRevisionsInMemory) {
    const auto oldest = entries_.begin();
    for (const auto& [device, status] : oldest->second.nodes) {
      if (const auto open = open_.find(device); open != open_.end()) open->second.erase(oldest->first);
    }
    entries_.erase(oldest);
  }
}

void ReceiptLedger::acked(const DeviceId& device, Revision complete, Timestamp now,
                          const SignedReceipt& receipt) {
  const auto open = open_.find(device);
  if (open == open_.end()) return;
  auto& revisions = open->second;
  while (!revisions.empty() && *revisions.begin() <= complete) {
    const Revision revision = *revisions.begin();
    revisions.erase(revisions.begin());
    Entry& entry = entries_[revision];
    ReceiptStatus& status = entry.nodes[device];
    status.acked = true;
    status.nack.clear();
    status.after_us = std::max<std::int64_t>(0, to_us(now) - to_us(entry.committed));
    status.receipt_signature = receipt.signature;
    if (unwritten_.size() < kMaxUnwritten) {
      unwritten_.push_back({revision, device, status.self, status.after_us, receipt});
    }
  }
}

void ReceiptLedger::nacked(const DeviceId& device, const std::string& reason) {
  const auto open = open_.find(device);
  if (open == open_.end()) return;
  for (const Revision revision : open->second) entries_[revision].nodes[device].nack = reason;
}

void ReceiptLedger::forget(const DeviceId& device) {
  const auto open = open_.find(device);
  if (open == open_.end()) return;
  for (const Revision revision : open->second) entries_[revision].nodes.erase(device);
  open_.erase(open);
}

std::vector<ReceiptStatus> ReceiptLedger::receipts(Revision revision) {
  std::vector<ReceiptStatus> all;
  if (const auto found = entries_.find(revision); found != entries_.end()) {
    for (const auto& [device, status] : found->second.nodes) all.push_back(status);
    return all;
  }
  auto stored = read(revision);
  if (stored) return std::move(*stored);
  log::warning("distribution", "can't read receipts: {}", stored.error().message());
  return all;
}

Result<std::vector<ReceiptStatus>> ReceiptLedger::read(Revision revision) {
  CORDON_ASSIGN(SqliteStatement select,
                database_.prepare("SELECT device, self, after_us, signature FROM receipts WHERE revision = ? "
                                  "ORDER BY device"));
  select.bind(1, static_cast<std::int64_t>(revision.value));
  std::vector<ReceiptStatus> all;
  while (true) {
    CORDON_ASSIGN(const bool more, select.step());
    if (!more) return all;
    all.push_back({.device = DeviceId(select.text(0)),
                   .acked = true,
                   .self = select.integer(1) != 0,
                   .after_us = select.integer(2),
                   .receipt_signature = select.blob(3)});
  }
}

std::vector<DeviceId> ReceiptLedger::outstanding(Revision revision) const {
  std::vector<DeviceId> waiting;
  const auto found = entries_.find(revision);
  if (found == entries_.end()) return waiting;
  for (const auto& [device, status] : found->second.nodes) {
    if (!status.acked && !status.self && status.nack.empty()) waiting.push_back(device);
  }
  return waiting;
}

bool ReceiptLedger::others_acked(Revision revision, const DeviceId& source) const {
  const auto found = entries_.find(revision);
  if (found == entries_.end()) return true;
  return std::ranges::all_of(found->second.nodes, [&](const auto& node) {
    return node.first == source || node.second.acked || !node.second.nack.empty();
  });
}

std::optional<Timestamp> ReceiptLedger::oldest_open(const DeviceId& device) const {
  const auto open = open_.find(device);
  if (open == open_.end() || open->second.empty()) return std::nullopt;
  const auto entry = entries_.find(*open->second.begin());
  if (entry == entries_.end()) return std::nullopt;
  return entry->second.committed;
}

Result<> ReceiptLedger::flush(Timestamp now) {
  CORDON_TRY(write());
  if (now < prune_at_) return {};
  prune_at_ = now + kPruneEvery;
  return prune(now);
}

Result<> ReceiptLedger::prune(Timestamp now) {
  CORDON_ASSIGN(SqliteStatement by_age, database_.prepare("DELETE FROM receipts WHERE at < ?"));
  by_age.bind(1, to_us(now - bounds_.keep));
  CORDON_TRY(by_age.run());
  bool removed = database_.changes() > 0;
  // Rows are in the order of revisions, so these are found without reading the rest.
  CORDON_ASSIGN(
      SqliteStatement oldest,
      database_.prepare("DELETE FROM receipts WHERE (revision, device) IN "
                        "(SELECT revision, device FROM receipts ORDER BY revision, device LIMIT ?)"));
  while (true) {
    CORDON_ASSIGN(const std::uint64_t used, database_.bytes_used());
    if (used <= bounds_.max_bytes) break;
    oldest.bind(1, kPruneRows);
    CORDON_TRY(oldest.run());
    if (database_.changes() == 0) break;
    removed = true;
  }
  if (removed) CORDON_TRY(database_.execute("PRAGMA incremental_vacuum"));
  return {};
}

Result<> ReceiptLedger::write() {
  if (unwritten_.empty()) return {};
  CORDON_ASSIGN(SqliteStatement insert,
                database_.prepare("INSERT OR REPLACE INTO receipts VALUES (?,?,?,?,?,?,?,?,?)"));
  CORDON_ASSIGN(SqliteTransaction transaction, SqliteTransaction::begin(database_));
  for (const Row& row : unwritten_) {
    insert.bind(1, static_cast<std::int64_t>(row.revision.value))
        .bind(2, row.device.value)
        .bind(3, std::int64_t{row.self})
        .bind(4, row.after_us)
        .bind(5, static_cast<std::int64_t>(row.receipt.head.value))
        .bind(6, ByteView(row.receipt.head_hash))
        .bind(7, ByteView(row.receipt.digest))
        .bind(8, to_us(row.receipt.at))
        .bind(9, ByteView(row.receipt.signature));
    CORDON_TRY(insert.run());
  }
  CORDON_TRY(transaction.commit());
  unwritten_.clear();
  return {};
}

}  // namespace cordon::controller
