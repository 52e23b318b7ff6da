// The change log in SQLite.
//   changes: one row a record; the payload's bytes are those that are hashed.
//   signers: certificate chains, each kept once.
//   heads:   one row a batch: its last revision, signed.
#include <fmt/format.h>

#include <mutex>

#include "controller/log/log_store.h"
#include "controller/log/sqlite.h"

namespace cordon::controller {

namespace {

constexpr const char* kLogSchema = R"(
CREATE TABLE IF NOT EXISTS changes (
  revision INTEGER PRIMARY KEY,
  at       INTEGER NOT NULL,
  actor    TEXT    NOT NULL,
  kind     TEXT    NOT NULL,
  version  INTEGER NOT NULL,
  payload  TEXT    NOT NULL,
  previous BLOB    NOT NULL,
  hash     BLOB    NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS signers (
  id  INTEGER PRIMARY KEY,
  pem TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS heads (
  revision  INTEGER PRIMARY KEY REFERENCES changes (revision),
  signature BLOB    NOT NULL,
  signer    INTEGER NOT NULL REFERENCES signers (id)
) STRICT;
)";

constexpr std::int64_t kSchemaVersion = 1;

Result<Sha256> hash_in(const SqliteStatement& row, int column) {
  const auto bytes = row.blob(column);
  Sha256 hash{};
  if (bytes.size() != hash.size()) {
    return fail(ErrorCode::io, fmt::format("a hash of {} bytes stands in the log", bytes.size()));
  }
  std::ranges::copy(bytes, hash.begin());
  return hash;
}

class SqliteLogStore final : public LogStore {
 public:
  SqliteLogStore(Sqlite writer, Sqlite reader) : db_(std::move(writer)), reader_(std::move(reader)) {}

  Result<> prepare() {
    CORDON_ASSIGN(auto version, db_.prepare("PRAGMA user_version"));
    CORDON_TRY(version.step());
    const auto found = version.integer(0);
    version.reset();
    if (found == kSchemaVersion) return {};
    if (found > kSchemaVersion) {
      return fail(ErrorCode::io,
                  fmt::format("the log has format {}, this release knows {}", found, kSchemaVersion),
                  "start the newer release that wrote it");
    }
    CORDON_ASSIGN(auto transaction, SqliteTransaction::begin(db_));
    CORDON_TRY(db_.execute(kLogSchema));
    CORDON_TRY(db_.execute("PRAGMA user_version = 1"));
    return transaction.commit();
  }

  Result<std::pair<Revision, Sha256>> head() override {
    const std::lock_guard lock(reader_mutex_);
    return read_head(reader_);
  }

  Result<std::vector<Record>> read(Revision after, std::size_t limit) override {
    const std::lock_guard lock(reader_mutex_);
    CORDON_ASSIGN(
        auto rows,
        reader_.prepare("SELECT revision, at, actor, kind, version, payload, previous, hash FROM changes "
                        "WHERE revision > ?1 ORDER BY revision LIMIT ?2"));
    rows.bind(1, static_cast<std::int64_t>(after.value)).bind(2, static_cast<std::int64_t>(limit));
    std::vector<Record> records;
    for (;;) {
      CORDON_ASSIGN(const bool more, rows.step());
      if (!more) return records;
      auto& record = records.emplace_back();
      record.revision = Revision(static_cast<std::uint64_t>(rows.integer(0)));
      record.at = from_us(rows.integer(1));
      record.actor = rows.text(2);
      record.kind = rows.text(3);
      record.version = static_cast<std::uint32_t>(rows.integer(4));
      record.payload = rows.text(5);
      CORDON_ASSIGN(record.previous, hash_in(rows, 6));
      CORDON_ASSIGN(record.hash, hash_in(rows, 7));
    }
  }

  Result<> commit(std::span<const Record> records, const SignedHead& head) override {
    if (records.empty() || head.revision != records.back().revision || head.hash != records.back().hash) {
      return fail(ErrorCode::internal, "a batch and its signed head don't belong together");
    }
    const std::lock_guard lock(mutex_);
    CORDON_ASSIGN(auto transaction, SqliteTransaction::begin(db_));
    CORDON_ASSIGN(const auto last, read_head(db_));
    if (last.first.value + 1 != records.front().revision.value || last.second != records.front().previous) {
      return fail(ErrorCode::conflict,
                  fmt::format("the log has moved to revision {} meanwhile", last.first.value));
    }
    CORDON_TRY(insert_records(records));
    CORDON_TRY(insert_head(head));
    return transaction.commit();
  }

  Result<std::optional<SignedHead>> signed_head_at(Revision revision) override {
    return read_signed_head("WHERE h.revision >= ?1 ORDER BY h.revision LIMIT 1", revision);
  }

  Result<std::optional<SignedHead>> last_signed_head() override {
    return read_signed_head("WHERE h.revision >= ?1 ORDER BY h.revision DESC LIMIT 1", Revision{});
  }

 private:
  static Result<std::pair<Revision, Sha256>> read_head(Sqlite& db) {
    CORDON_ASSIGN(auto row, db.prepare("SELECT revision, hash FROM changes ORDER BY revision DESC LIMIT 1"));
    CORDON_ASSIGN(const bool found, row.step());
    if (!found) return std::pair(Revision{}, Sha256{});
    CORDON_ASSIGN(const auto hash, hash_in(row, 1));
    return std::pair(Revision(static_cast<std::uint64_t>(row.integer(0))), hash);
  }

  Result<> insert_records(std::span<const Record> records) {
    CORDON_ASSIGN(auto insert, db_.prepare("INSERT INTO changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"));
    for (const auto& record : records) {
      insert.bind(1, static_cast<std::int64_t>(record.revision.value))
          .bind(2, to_us(record.at))
          .bind(3, std::string_view(record.actor))
          .bind(4, std::string_view(record.kind))
          .bind(5, static_cast<std::int64_t>(record.version))
          .bind(6, std::string_view(record.payload))
          .bind(7, ByteView(record.previous))
          .bind(8, ByteView(record.hash));
      CORDON_TRY(insert.run());
    }
    return {};
  }

  Result<> insert_head(const SignedHead& head) {
    CORDON_ASSIGN(auto signer, db_.prepare("INSERT INTO signers (pem) VALUES (?1) ON CONFLICT DO NOTHING"));
    CORDON_TRY(signer.bind(1, std::string_view(head.signer_pem)).run());
    CORDON_ASSIGN(auto insert,
                  db_.prepare("INSERT INTO heads VALUES (?1, ?2, (SELECT id FROM signers WHERE pem = ?3))"));
    insert.bind(1, static_cast<std::int64_t>(head.revision.value))
        .bind(2, ByteView(head.signature))
        .bind(3, std::string_view(head.signer_pem));
    return insert.run();
  }

  Result<std::optional<SignedHead>> read_signed_head(std::string_view where, Revision revision) {
    const std::lock_guard lock(reader_mutex_);
    CORDON_ASSIGN(auto row,
                  reader_.prepare(fmt::format("SELECT h.revision, c.hash, h.signature, s.pem FROM heads h "
                                              "JOIN changes c ON c.revision = h.revision "
                                              "JOIN signers s ON s.id = h.signer {}",
                                              where)));
    row.bind(1, static_cast<std::int64_t>(revision.value));
    CORDON_ASSIGN(const bool found, row.step());
    if (!found) return std::nullopt;
    SignedHead head{.revision = Revision(static_cast<std::uint64_t>(row.integer(0))),
                    .signature = row.blob(2),
                    .signer_pem = row.text(3)};
    CORDON_ASSIGN(head.hash, hash_in(row, 1));
    return head;
  }

  // Two connections, so that a reader never waits for a commit to reach the disk.
  std::mutex mutex_, reader_mutex_;
  Sqlite db_, reader_;
};

}  // namespace

Result<std::unique_ptr<LogStore>> open_log_store(const std::filesystem::path& database) {
  CORDON_ASSIGN(auto db, Sqlite::open(database));
  CORDON_ASSIGN(auto reader, Sqlite::open(database));
  auto store = std::make_unique<SqliteLogStore>(std::move(db), std::move(reader));
  CORDON_TRY(store->prepare());
  return store;
}

}  // namespace cordon::controller
