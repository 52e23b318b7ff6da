#include "node/agent/people.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <limits>
#include <optional>

#include "base/files.h"

namespace cordon::node {
namespace {

constexpr std::uint32_t kNobodyUid = 65534;  ///< the kernel's overflow uid
constexpr std::uint32_t kNoUid = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kMaxAccountsBytes = 16u << 20;
constexpr std::uint32_t kUsualFirstUid = 1000;
/// systemd's: those before it, from 60001 on, are people of systemd-homed (systemd.io/UIDS-GIDS).
constexpr UidRange kDynamicUids{.first = 60514, .last = 65535};

/// As login.defs writes numbers: decimal, or octal behind 0, or hexadecimal behind 0x.
std::optional<std::uint32_t> read_uid(std::string_view text, bool any_base = false) {
  int base = 10;
  if (any_base && text.size() > 1 && text[0] == '0') {
    base = text[1] == 'x' || text[1] == 'X' ? 16 : 8;
    text.remove_prefix(base == 16 ? 2 : 1);
  }
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Result<UidRange> checked_uids(const UidRange& range, const std::string& where, const std::string& hint) {
  if (range.first > range.last)
    return fail(ErrorCode::invalid, fmt::format("{} ends before it begins", where), hint);
  if (range.contains(0)) return fail(ErrorCode::invalid, fmt::format("{} has root in it", where), hint);
  if (range.contains(kNobodyUid))
    return fail(ErrorCode::invalid,
                fmt::format("{} has uid {} in it, which packets without a socket have", where, kNobodyUid),
                hint);
  if (range.last == kNoUid)
    return fail(ErrorCode::invalid, fmt::format("{} has uid {} in it, which is nobody's", where, kNoUid),
                hint);
  return range;
}

/// Calls `take(line, number)` until it fails.
template <class Take>
Result<> each_account_line(std::string_view text, Take take) {
  std::size_t number = 0;
  while (!text.empty()) {
    const auto end = text.find('\n');
    CORDON_TRY(take(text.substr(0, end), ++number));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return {};
}

std::string_view next_account_word(std::string_view& line) {
  constexpr std::string_view kBlank = " \t\r\"";
  const auto begin = std::min(line.find_first_not_of(kBlank), line.size());
  const auto end = std::min(line.find_first_of(kBlank, begin), line.size());
  const std::string_view word = line.substr(begin, end - begin);
  line.remove_prefix(end);
  return word;
}

std::string accounts_mend(std::string_view file) {
  return fmt::format("mend {}, or name the uids in node.toml: people_uids = [\"1000-60000\"]", file);
}

Result<std::string> read_accounts(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::string{};
  auto text = read_file(path, kMaxAccountsBytes);
  if (!text) return std::unexpected(in_context(text.error(), "looking whose uids are people's"));
  return *std::move(text);
}

}  // namespace

Result<UidRange> parse_uid_range(std::string_view text) {
  const auto dash = text.find('-');
  const auto first = read_uid(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : read_uid(text.substr(dash + 1));
  if (!first || !last)
    return fail(ErrorCode::invalid, fmt::format("\"{}\" is no range of uids", text),
                "such as 1000-60000 or 1000");
  return checked_uids({.first = *first, .last = *last}, fmt::format("\"{}\"", text),
                      "such as 1000-60000 or 1000");
}

Result<std::vector<UidRange>> uids_of_login_defs(std::string_view text, std::string_view file) {
  std::uint32_t first = kUsualFirstUid;
  CORDON_TRY(each_account_line(text, [&](std::string_view line, std::size_t number) -> Result<> {
    if (next_account_word(line) != "UID_MIN") return {};
    const std::string_view word = next_account_word(line);
    const auto value = read_uid(word, true);
    if (!value || *value == 0 || *value == kNoUid)
      return fail(ErrorCode::invalid,
                  fmt::format("{}:{}: UID_MIN is \"{}\", which is nobody's uid", file, number, word),
                  accounts_mend(file));
    first = *value;
    return {};
  }));
  std::vector<UidRange> out;
  if (first < kDynamicUids.first) out.push_back({.first = first, .last = kDynamicUids.first - 1});
  out.push_back({.first = std::max(first, kDynamicUids.last + 1), .last = kNoUid - 1});
  return out;
}

Result<std::vector<UidRange>> uids_of_subuid(std::string_view text, std::string_view file) {
  std::vector<UidRange> out;
  CORDON_TRY(each_account_line(text, [&](std::string_view line, std::size_t number) -> Result<> {
    if (line.find_first_not_of(" \t\r") == std::string_view::npos || line.front() == '#') return {};
    const auto one = line.find(':'), two = line.find(':', one == std::string_view::npos ? one : one + 1);
    std::optional<std::uint32_t> first, count;
    if (two != std::string_view::npos) {
      first = read_uid(line.substr(one + 1, two - one - 1));
      count = read_uid(line.substr(two + 1));
    }
    if (one == 0 || !first || !count)
      return fail(ErrorCode::invalid,
                  fmt::format("{}:{}: \"{}\" is not owner:first:count", file, number, line),
                  accounts_mend(file));
    if (*count == 0) return {};
    const std::uint64_t last = std::uint64_t{*first} + *count - 1;
    const std::string where =
        fmt::format("{}:{}: the range of {} uids from {}", file, number, *count, *first);
    if (last >= kNoUid)
      return fail(ErrorCode::invalid, where + " goes past the last uid", accounts_mend(file));
    CORDON_ASSIGN(const auto range, checked_uids({.first = *first, .last = static_cast<std::uint32_t>(last)},
                                                 where, accounts_mend(file)));
    out.push_back(range);
    return {};
  }));
  return out;
}

std::vector<UidRange> merged_uids(std::vector<UidRange> ranges) {
  std::ranges::sort(ranges);
  std::vector<UidRange> out;
  for (const UidRange& range : ranges) {
    if (!out.empty() && range.first <= std::uint64_t{out.back().last} + 1)
      out.back().last = std::max(out.back().last, range.last);
    else
      out.push_back(range);
  }
  return out;
}

Result<std::vector<UidRange>> people_of_machine(const std::filesystem::path& login_defs,
                                                const std::filesystem::path& subuid) {
  CORDON_ASSIGN(const std::string accounts, read_accounts(login_defs));
  CORDON_ASSIGN(const std::string subordinates, read_accounts(subuid));
  CORDON_ASSIGN(const auto people, uids_of_login_defs(accounts, login_defs.string()));
  CORDON_ASSIGN(auto all, uids_of_subuid(subordinates, subuid.string()));
  all.insert(all.end(), people.begin(), people.end());
  return merged_uids(std::move(all));
}

std::string in_words(const std::vector<UidRange>& ranges) {
  std::string out;
  for (const UidRange& range : ranges)
    out += fmt::format("{}{}{}", out.empty() ? "" : ", ", range.first,
                       range.first == range.last ? std::string{} : fmt::format("-{}", range.last));
  return out.empty() ? "nobody" : out;
}

}  // namespace cordon::node
