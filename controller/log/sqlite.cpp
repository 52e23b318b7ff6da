#include "controller/log/sqlite.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>

namespace cordon::controller {

namespace {

constexpr int kBusyTimeoutMs = 5000;

Error describe(int code, int system_error, std::string_view file, std::string_view doing,
               std::string_view message) {
  const auto say = [&](ErrorCode kind, std::string_view what, std::string hint) {
    return Error{.code = kind, .what = fmt::format("{}: {}: {}", file, doing, what), .hint = std::move(hint)};
  };
  switch (code & 0xff) {
    case SQLITE_FULL:
      return say(ErrorCode::unavailable, "the disk is full",
                 "free space on it: nothing is lost, writing goes on then");
    case SQLITE_READONLY:
      return say(ErrorCode::unavailable, "the database is read-only",
                 "make the file, its folder and its file system writable");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return say(ErrorCode::unavailable, "another process holds the database",
                 "find it with: fuser " + std::string(file));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return say(ErrorCode::io, fmt::format("the database is damaged ({})", message),
                 "restore it from a backup, or verify an export: cordon audit verify FILE");
    case SQLITE_CANTOPEN:
      return say(ErrorCode::io, fmt::format("can't be opened ({})", message),
                 "does its folder exist, and may we write there?");
    case SQLITE_IOERR:
      if (system_error == ENOSPC || system_error == EDQUOT) {
        return say(ErrorCode::unavailable, "the disk is full",
                   "free space on it: nothing is lost, writing goes on then");
      }
      if (system_error == EROFS) {
        return say(ErrorCode::unavailable, "the database is read-only", "make its file system writable");
      }
      return say(ErrorCode::unavailable, fmt::format("the disk refuses ({})", message),
                 "look at the kernel's log: dmesg");
    default:
      return say(ErrorCode::io, message, "");
  }
}

}  // namespace

void Sqlite::Close::operator()(sqlite3* db) const {
  sqlite3_close_v2(db);
}
void SqliteStatement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Result<Sqlite> Sqlite::open(const std::filesystem::path& file, const SqliteOptions& options) {
  // SQLite makes files by the umask; the log and the secrets are for their owner only.
  const int made = ::open(file.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (made >= 0) ::close(made);
  Sqlite out;
  out.name_ = file.string();
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(
      file.c_str(), &db,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, nullptr);
  out.db_.reset(db);
  if (code != SQLITE_OK) {
    if (db == nullptr) return fail(ErrorCode::internal, "no memory to open " + out.name_);
    return std::unexpected(out.error("opening"));
  }
  // SQLite quietly falls back to reading when it may not write.
  if (sqlite3_db_readonly(db, "main") == 1) {
    return std::unexpected(describe(SQLITE_READONLY, 0, out.name_, "opening", ""));
  }
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, kBusyTimeoutMs);
  if (options.shrinks) CORDON_TRY(out.execute("PRAGMA auto_vacuum=INCREMENTAL"));
  CORDON_TRY(out.execute("PRAGMA journal_mode=WAL"));
  CORDON_TRY(out.execute(options.durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
  CORDON_TRY(out.execute("PRAGMA foreign_keys=ON"));
  return out;
}

Result<> Sqlite::execute(const char* sql) {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return std::unexpected(error(std::string_view(sql).substr(0, 60)));
  }
  return {};
}

Result<SqliteStatement> Sqlite::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(db_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr) !=
      SQLITE_OK) {
    return std::unexpected(error("preparing a statement"));
  }
  SqliteStatement out;
  out.statement_.reset(statement);
  out.db_ = this;
  return out;
}

Error Sqlite::error(std::string_view doing) const {
  return describe(sqlite3_extended_errcode(db_.get()), sqlite3_system_errno(db_.get()), name_, doing,
                  sqlite3_errmsg(db_.get()));
}

std::int64_t Sqlite::changes() const {
  return sqlite3_changes64(db_.get());
}

Result<std::uint64_t> Sqlite::bytes_used() {
  CORDON_ASSIGN(SqliteStatement select,
                prepare("SELECT (page_count - freelist_count) * page_size FROM pragma_page_count(), "
                        "pragma_freelist_count(), pragma_page_size()"));
  CORDON_TRY(select.step());
  return static_cast<std::uint64_t>(select.integer(0));
}

SqliteStatement& SqliteStatement::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(statement_.get(), index, value);
  return *this;
}

// SQLITE_TRANSIENT: the statement keeps a copy, callers' buffers may go. Empty is not NULL, whatever it
// points to.
SqliteStatement& SqliteStatement::bind(int index, std::string_view text) {
  sqlite3_bind_text64(statement_.get(), index, text.empty() ? "" : text.data(), text.size(), SQLITE_TRANSIENT,
                      SQLITE_UTF8);
  return *this;
}

SqliteStatement& SqliteStatement::bind(int index, ByteView blob) {
  sqlite3_bind_blob64(statement_.get(), index, blob.empty() ? "" : static_cast<const void*>(blob.data()),
                      blob.size(), SQLITE_TRANSIENT);
  return *this;
}

Result<bool> SqliteStatement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  auto error = db_->error(sqlite3_stmt_readonly(statement_.get()) != 0 ? "reading" : "writing");
  reset();
  return std::unexpected(std::move(error));
}

Result<> SqliteStatement::run() {
  for (;;) {
    CORDON_ASSIGN(const bool more, step());
    if (!more) break;
  }
  reset();
  return {};
}

void SqliteStatement::reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

std::int64_t SqliteStatement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string SqliteStatement::text(int column) const {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return text == nullptr ? std::string() : std::string(text, size);
}

Bytes SqliteStatement::blob(int column) const {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_.get(), column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  return data == nullptr ? Bytes() : Bytes(data, data + size);
}

Result<SqliteTransaction> SqliteTransaction::begin(Sqlite& db) {
  // IMMEDIATE: the write lock is taken here, so that what is read inside is still true at the commit.
  CORDON_TRY(db.execute("BEGIN IMMEDIATE"));
  return SqliteTransaction(db);
}

SqliteTransaction::~SqliteTransaction() {
  // SQLite may have rolled back by itself (a full disk): then this fails, which is fine.
  if (db_ != nullptr) (void)db_->execute("ROLLBACK");
}

Result<> SqliteTransaction::commit() {
  CORDON_TRY(db_->execute("COMMIT"));
  db_ = nullptr;
  return {};
}

}  // namespace cordon::controller
