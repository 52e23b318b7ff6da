#pragma once
// A SQLite file for facts that may be lost with the machine (flows, receipts): WAL, synchronous=NORMAL.

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

/// A prepared statement; bind from 1, step until false, then reset.
class Statement {
 public:
  Statement() = default;
  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, std::string_view value);
  Statement& bind(int index, ByteView value);
  /// True: a row is there.
  Result<bool> step();
  /// Runs to the end and is ready to be bound again.
  Result<> run();
  void reset();
  std::int64_t integer(int column) const;
  std::string text(int column) const;
  Bytes bytes(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

class Database {
 public:
  /// Opens or makes the file (0600) and runs `schema`, whose statements must be harmless on a file that has
  /// it.
  static Result<Database> open(const std::filesystem::path& path, const char* schema);
  Result<> execute(const char* sql);
  Result<Statement> prepare(std::string_view sql);
  std::int64_t changes() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  std::unique_ptr<sqlite3, Close> handle_;
};

/// BEGIN now; rolled back unless commit() succeeds.
class Transaction {
 public:
  explicit Transaction(Database& database);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  Result<> commit();

 private:
  Database& database_;
  Result<> begun_;
  bool open_ = false;
};

}  // namespace cordon::controller
