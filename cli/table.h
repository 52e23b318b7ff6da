#pragma once
// Aligned columns for people.

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace cordon::cli {

/// Safe to show on a terminal: control characters and broken UTF-8 become '?'.
std::string printable(std::string_view text);

class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  void row(std::vector<std::string> cells);  ///< empty cells are shown as "-"
  /// Header and rows; the last column isn't padded. Without rows: `when_empty` alone.
  void print(std::ostream& out, std::string_view when_empty) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace cordon::cli
