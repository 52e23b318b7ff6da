#include "policy/wording.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace cordon::policy {
namespace {

constexpr std::size_t kShown = 80;
constexpr std::size_t kMostCandidates = 10'000;

}  // namespace

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (i >= kShown && (c & 0xc0) != 0x80) {  // not within a character
      out += "…";
      break;
    }
    if (c < 0x20 || c == 0x7f)
      out += fmt::format("\\u{:04x}", c);
    else
      out += static_cast<char>(c);
  }
  return out + "\"";
}

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  const std::size_t over = limit + 1;
  if ((a.size() > b.size() ? a.size() - b.size() : b.size() - a.size()) > limit) return over;
  // Three rows of the optimal string alignment table: two back for swaps, one back, this one.
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    std::size_t least = row[0];
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
      least = std::min(least, row[j]);
    }
    if (least > limit) return over;
    std::swap(before, last);
    std::swap(last, row);
  }
  return std::min(last[b.size()], over);
}

std::string nearest(std::string_view text, const std::vector<std::string_view>& candidates) {
  const std::size_t limit = std::min<std::size_t>(3, std::max<std::size_t>(1, text.size() / 3));
  std::size_t best = limit + 1;
  std::string_view found;
  for (std::size_t i = 0; i < std::min(candidates.size(), kMostCandidates); ++i) {
    const std::size_t distance = edit_distance(text, candidates[i], limit);
    if (distance < best || (distance == best && distance <= limit && candidates[i] < found)) {
      best = distance;
      found = candidates[i];
    }
  }
  return std::string(found);
}

}  // namespace cordon::policy
