#pragma once
// SQLite with our errors: every refusal says which file, what is wrong and what mends it.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace cordon::controller {

class SqliteStatement;

struct SqliteOptions {
  /// A commit is on the disk when it returns. Without, a power cut takes the last ones.
  bool durable = true;
  /// What is deleted can be given back to the file system (PRAGMA incremental_vacuum); for a new file only.
  bool shrinks = false;
};

/// One connection. Not for two threads at once.
class Sqlite {
 public:
  /// Opens or makes `file` (0600; no symbolic link) with WAL and a busy timeout of 5 s.
  static Result<Sqlite> open(const std::filesystem::path& file, const SqliteOptions& options = {});

  Result<> execute(const char* sql);
  Result<SqliteStatement> prepare(std::string_view sql);
  /// The last failure of the connection as an Error: `doing` is what was tried. A full disk, a read-only file
  /// and a busy one are `unavailable`, a broken file is `io`.
  Error error(std::string_view doing) const;
  std::int64_t changes() const;
  /// Of pages that hold something.
  Result<std::uint64_t> bytes_used();

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  std::unique_ptr<sqlite3, Close> db_;
  std::string name_;
};

/// A prepared statement; parameters and columns count from 1 and 0 as SQLite has them.
class SqliteStatement {
 public:
  SqliteStatement& bind(int index, std::int64_t value);
  SqliteStatement& bind(int index, std::string_view text);
  SqliteStatement& bind(int index, ByteView blob);

  /// True: there is a row to read; false: done.
  Result<bool> step();
  /// Steps to the end and makes ready for the next use.
  Result<> run();
  void reset();

  std::int64_t integer(int column) const;
  std::string text(int column) const;
  Bytes blob(int column) const;

 private:
  friend class Sqlite;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  const Sqlite* db_ = nullptr;
};

/// Begins a transaction that is rolled back unless committed.
class SqliteTransaction {
 public:
  static Result<SqliteTransaction> begin(Sqlite& db);
  SqliteTransaction(SqliteTransaction&& other) noexcept : db_(std::exchange(other.db_, nullptr)) {}
  SqliteTransaction& operator=(SqliteTransaction&&) = delete;
  ~SqliteTransaction();
  Result<> commit();

 private:
  explicit SqliteTransaction(Sqlite& db) : db_(&db) {}
  Sqlite* db_;
};

}  // namespace cordon::controller
