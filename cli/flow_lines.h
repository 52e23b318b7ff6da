#pragma once
// Flows as lines that people read.

#include <deque>
#include <iosfwd>
#include <string>
#include <unordered_map>
#include <vector>

#include "cli/context.h"

namespace cordon::cli {

std::string grouped(std::uint64_t n);         ///< "1,234,567"
std::string bytes_text(std::uint64_t bytes);  ///< "17 B", "1.2 KiB", "3.0 GiB"

/// Columns that are as wide as what they held so far: rows can be printed as they come.
class GrowingTable {
 public:
  explicit GrowingTable(std::vector<std::string> header);
  /// The header before the first rows.
  void print(std::ostream& out, const std::vector<std::vector<std::string>>& rows);

 private:
  std::vector<std::string> header_;
  std::vector<std::size_t> widths_;
  bool begun_ = false;
};

/// Both ends report a flow that was let through: true for the first of two. Remembers so many flows.
class SeenOnce {
 public:
  explicit SeenOnce(std::size_t most = 16'384) : most_(most) {}
  bool first(const json::object& flow);

 private:
  struct Report {
    std::string node;
    Timestamp at{};
  };
  const std::size_t most_;
  std::unordered_map<std::string, Report> seen_;
  std::deque<std::string> order_;
};

std::vector<std::string> flow_header();
std::vector<std::string> flow_row(const json::object& flow);
/// Of denials alone: who dropped it, in place of what all have in common.
std::vector<std::string> drop_header();
std::vector<std::string> drop_row(const json::object& flow);

}  // namespace cordon::cli
