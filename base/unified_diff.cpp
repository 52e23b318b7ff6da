#include "base/unified_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace cordon {
namespace {

using Lines = std::vector<std::string_view>;

constexpr std::size_t kContext = 3;
constexpr int kMostEdits = 3000;  // the trace holds at most about half its square

/// Each with its line feed, the last perhaps without.
Lines lines_of(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const std::size_t length = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return lines;
}

struct Edit {
  char kind;  ///< ' ', '-' or '+'
  std::string_view line;
};

/// E. W. Myers, "An O(ND) Difference Algorithm and Its Variations" (1986): the greedy one, forwards, keeping
/// each round's furthest points to find the way back.
class ShortestEdit {
 public:
  ShortestEdit(const Lines& from, const Lines& to)
      : from_(from), to_(to), n_(static_cast<int>(from.size())), m_(static_cast<int>(to.size())) {}

  /// The edits in order; false: there are more than kMostEdits.
  bool find(std::vector<Edit>& edits) {
    const int most = std::min(n_ + m_, kMostEdits);
    std::vector<int> furthest(2 * static_cast<std::size_t>(most) + 3, 0);
    const auto at = [&](int k) -> int& {
      return furthest[static_cast<std::size_t>(std::ptrdiff_t{k} + most + 1)];
    };
    for (int d = 0; d <= most; ++d) {
      for (int k = -d; k <= d; k += 2) {
        int x = k == -d || (k != d && at(k - 1) < at(k + 1)) ? at(k + 1) : at(k - 1) + 1;
        while (x < n_ && x - k < m_ && from_[index(x)] == to_[index(x - k)]) ++x;
        at(k) = x;
        if (x >= n_ && x - k >= m_) return trace_back(d, edits), true;
      }
      rounds_.emplace_back(furthest.begin() + (most + 1 - d), furthest.begin() + (most + 2 + d));
    }
    return false;
  }

 private:
  static std::size_t index(int i) { return static_cast<std::size_t>(i); }

  void trace_back(int d, std::vector<Edit>& edits) const {
    int x = n_, y = m_;
    for (; d > 0; --d) {
      const std::vector<int>& before = rounds_[index(d - 1)];  // diagonals -(d-1) to d-1
      const auto at = [&](int k) { return k < 1 - d || k > d - 1 ? -1 : before[index(k + d - 1)]; };
      const int k = x - y;
      const bool down = k == -d || (k != d && at(k - 1) < at(k + 1));
      const int from_k = down ? k + 1 : k - 1;
      const int from_x = at(from_k), from_y = from_x - from_k;
      const int start_x = down ? from_x : from_x + 1;
      for (; x > start_x; --x, --y) edits.push_back({' ', from_[index(x - 1)]});
      edits.push_back(down ? Edit{'+', to_[index(from_y)]} : Edit{'-', from_[index(from_x)]});
      x = from_x;
      y = from_y;
    }
    for (; x > 0; --x) edits.push_back({' ', from_[index(x - 1)]});
    std::ranges::reverse(edits);
  }

  const Lines& from_;
  const Lines& to_;
  const int n_, m_;
  std::vector<std::vector<int>> rounds_;
};

std::vector<Edit> edits_between(const Lines& from, const Lines& to) {
  std::size_t head = 0, tail = 0;
  const std::size_t shorter = std::min(from.size(), to.size());
  while (head < shorter && from[head] == to[head]) ++head;
  while (tail < shorter - head && from[from.size() - 1 - tail] == to[to.size() - 1 - tail]) ++tail;
  const auto middle = [&](const Lines& all) {
    return Lines(all.begin() + static_cast<std::ptrdiff_t>(head),
                 all.end() - static_cast<std::ptrdiff_t>(tail));
  };
  const Lines gone = middle(from), come = middle(to);
  std::vector<Edit> edits, changed;
  for (std::size_t i = 0; i < head; ++i) edits.push_back({' ', from[i]});
  if (!ShortestEdit(gone, come).find(changed)) {
    for (const std::string_view line : gone) changed.push_back({'-', line});
    for (const std::string_view line : come) changed.push_back({'+', line});
  }
  edits.insert(edits.end(), changed.begin(), changed.end());
  for (std::size_t i = from.size() - tail; i < from.size(); ++i) edits.push_back({' ', from[i]});
  return edits;
}

/// "12,3", or "12" for one line; of none, the line before.
std::string range(std::size_t first, std::size_t count) {
  if (count == 1) return fmt::format("{}", first);
  return fmt::format("{},{}", count == 0 ? first - 1 : first, count);
}

void write_hunk(const std::vector<Edit>& edits, std::size_t begin, std::size_t end, std::size_t from_line,
                std::size_t to_line, std::string& out) {
  std::size_t gone = 0, come = 0;
  for (std::size_t i = begin; i < end; ++i) {
    gone += edits[i].kind != '+';
    come += edits[i].kind != '-';
  }
  out += fmt::format("@@ -{} +{} @@\n", range(from_line, gone), range(to_line, come));
  for (std::size_t i = begin; i < end; ++i) {
    out += edits[i].kind;
    out += edits[i].line;
    if (!edits[i].line.ends_with('\n')) out += "\n\\ No newline at end of file\n";
  }
}

}  // namespace

std::string unified_diff(std::string_view from_name, std::string_view from, std::string_view to_name,
                         std::string_view to) {
  if (from == to) return {};
  const std::vector<Edit> edits = edits_between(lines_of(from), lines_of(to));
  std::string out = fmt::format("--- {}\n+++ {}\n", from_name, to_name);
  std::size_t from_line = 1, to_line = 1, done = 0;  // lines before edits[done] are passed
  const auto pass = [&](std::size_t until) {
    for (; done < until; ++done) {
      from_line += edits[done].kind != '+';
      to_line += edits[done].kind != '-';
    }
  };
  for (std::size_t i = 0; i < edits.size();) {
    if (edits[i].kind == ' ') {
      ++i;
      continue;
    }
    std::size_t last = i;  // the hunk's last change: gaps of twice the context or less don't end it
    for (std::size_t j = i; j < edits.size() && j - last <= 2 * kContext + 1; ++j)
      if (edits[j].kind != ' ') last = j;
    const std::size_t begin = std::max(done, i < kContext ? 0 : i - kContext);
    const std::size_t end = std::min(edits.size(), last + 1 + kContext);
    pass(begin);
    write_hunk(edits, begin, end, from_line, to_line, out);
    pass(end);
    i = end;
  }
  return out;
}

}  // namespace cordon
