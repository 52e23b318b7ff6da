#include "controller/flows/database.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

namespace cordon::controller {

namespace {
constexpr int kBusyMs = 2000;

std::unexpected<Error> failed(sqlite3* database, std::string_view doing) {
  const int code = sqlite3_errcode(database) & 0xff;
  const std::string hint = code == SQLITE_FULL       ? "free some disk space"
                           : code == SQLITE_READONLY ? "make the file and its folder writable"
                           : code == SQLITE_NOTADB   ? "the file is damaged: move it away"
                                                     : "";
  return fail(code == SQLITE_FULL ? ErrorCode::unavailable : ErrorCode::io,
              fmt::format("{}: {}", doing, sqlite3_errmsg(database)), hint);
}
}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Statement& Statement::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(handle_.get(), index, value);
  return *this;
}

Statement& Statement::bind(int index, std::string_view value) {
  sqlite3_bind_text64(handle_.get(), index, value.empty() ? "" : value.data(), value.size(), SQLITE_TRANSIENT,
                      SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind(int index, ByteView value) {
  sqlite3_bind_blob64(handle_.get(), index, value.empty() ? "" : static_cast<const void*>(value.data()),
                      value.size(), SQLITE_TRANSIENT);
  return *this;
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  auto error = failed(sqlite3_db_handle(handle_.get()), "can't run a statement");
  reset();
  return error;
}

Result<> Statement::run() {
  CORDON_TRY(step());
  reset();
  return {};
}

void Statement::reset() {
  sqlite3_reset(handle_.get());
  sqlite3_clear_bindings(handle_.get());
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(handle_.get(), column);
}

std::string Statement::text(int column) const {
  return std::string(as_text(bytes(column)));
}

Bytes Statement::bytes(int column) const {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(handle_.get(), column));
  const int size = sqlite3_column_bytes(handle_.get(), column);
  return size <= 0 ? Bytes{} : Bytes(data, data + size);
}

void Database::Close::operator()(sqlite3* database) const {
  sqlite3_close_v2(database);
}

Result<Database> Database::open(const std::filesystem::path& path, const char* schema) {
  sqlite3* raw = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW, nullptr);
  Database database;
  database.handle_.reset(raw);
  if (code != SQLITE_OK) return failed(raw, fmt::format("can't open {}", path.string()));
  chmod(path.c_str(), 0600);
  sqlite3_busy_timeout(raw, kBusyMs);
  for (const char* sql :
       {"PRAGMA auto_vacuum=INCREMENTAL", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", schema}) {
    if (auto done = database.execute(sql); !done)
      return std::unexpected(in_context(done.error(), path.string()));
  }
  return database;
}

Result<> Database::execute(const char* sql) {
  if (sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return failed(handle_.get(), "can't change the database");
  }
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &raw, nullptr) !=
      SQLITE_OK) {
    return failed(handle_.get(), "can't prepare a statement");
  }
  Statement statement;
  statement.handle_.reset(raw);
  return statement;
}

std::int64_t Database::changes() const {
  return sqlite3_changes64(handle_.get());
}

Transaction::Transaction(Database& database)
    : database_(database), begun_(database.execute("BEGIN IMMEDIATE")), open_(begun_.has_value()) {}

Transaction::~Transaction() {
  if (open_) (void)database_.execute("ROLLBACK");
}

Result<> Transaction::commit() {
  if (!begun_) return begun_;
  CORDON_TRY(database_.execute("COMMIT"));
  open_ = false;
  return {};
}

}  // namespace cordon::controller
