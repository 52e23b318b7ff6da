#include "cli/flow_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ostream>

#include "cli/table.h"

namespace cordon::cli {
namespace {

/// "2026-01-05 10:00:00.123"
std::string moment(const json::object& flow) {
  const auto at = parse_rfc3339(text(flow, "at"));
  if (!at) return "";
  return fmt::format("{}.{:03}", local_time(flow, "at"), to_us(*at) / 1000 % 1000);
}

/// Denials whose source is not told: it couldn't be read, or there were too many to tell them apart.
bool is_others(const json::object& flow) {
  return text(flow, "source") == "::";
}

std::string source_text(const json::object& flow) {
  if (is_others(flow)) return "others";
  const std::string person = text(flow, "person"), device = text(flow, "source_device");
  if (device.empty()) return text(flow, "source");
  return person.empty() ? device : fmt::format("{} on {}", person, device);
}

/// "settlement/ledger tcp/5432 at ledger", as far as names are known.
std::string target_text(const json::object& flow) {
  const std::string segment = text(flow, "segment"), service = text(flow, "service");
  const std::string device = text(flow, "destination_device"), protocol = text(flow, "protocol");
  if (text(flow, "destination") == "::") return device;
  std::string out =
      segment.empty() ? "" : fmt::format("{}{}{} ", segment, service.empty() ? "" : "/", service);
  out += protocol;
  if (protocol == "tcp" || protocol == "udp" || protocol == "sctp")
    out += fmt::format("/{}", number(flow, "destination_port"));
  return fmt::format("{} at {}", out, device.empty() ? text(flow, "destination") : device);
}

std::string more_text(const json::object& flow) {
  const auto suppressed = static_cast<std::uint64_t>(number(flow, "suppressed"));
  if (suppressed == 0) return "";
  return fmt::format(" (+{} of this {}reason)", grouped(suppressed), is_others(flow) ? "" : "source and ");
}

std::string reason_text(const json::object& flow) {
  const std::string rule = text(flow, "rule"), reason = text(flow, "reason");
  if (reason.empty()) return rule;
  return rule.empty() ? reason : fmt::format("{} ({})", reason, rule);
}

std::size_t text_width(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

std::string grouped(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

std::string bytes_text(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  const char* unit = "B";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}) {
    if (value < 1023.95) break;
    value /= 1024;
    unit = next;
  }
  return fmt::format("{:.1f} {}", value, unit);
}

GrowingTable::GrowingTable(std::vector<std::string> header) : header_(std::move(header)) {
  for (const std::string& cell : header_) widths_.push_back(text_width(cell));
}

void GrowingTable::print(std::ostream& out, const std::vector<std::vector<std::string>>& rows) {
  if (rows.empty()) return;
  std::vector<std::vector<std::string>> cells;
  for (const auto& row : rows) {
    auto& line = cells.emplace_back();
    for (std::size_t i = 0; i < header_.size(); ++i) {
      line.push_back(i < row.size() && !row[i].empty() ? printable(row[i]) : "-");
      widths_[i] = std::max(widths_[i], text_width(line.back()));
    }
  }
  const auto write = [&](const std::vector<std::string>& line) {
    for (std::size_t i = 0; i < line.size(); ++i) {
      out << line[i];
      if (i + 1 < line.size()) out << std::string(widths_[i] - text_width(line[i]) + 2, ' ');
    }
    out << '\n';
  };
  if (!std::exchange(begun_, true)) write(header_);
  std::ranges::for_each(cells, write);
}

bool SeenOnce::first(const json::object& flow) {
  constexpr auto kReportsApart = std::chrono::seconds(60);
  if (text(flow, "verdict") == "denied") return true;
  std::string key;
  for (const char* member : {"kind", "source", "destination", "protocol"}) key += text(flow, member) + '\n';
  key += fmt::format("{}\n{}", number(flow, "source_port"), number(flow, "destination_port"));
  const Report report{.node = text(flow, "node"),
                      .at = parse_rfc3339(text(flow, "at")).value_or(Timestamp{})};
  const auto [found, is_new] = seen_.try_emplace(key, report);
  if (is_new) {
    order_.push_back(std::move(key));
    if (order_.size() > most_) {
      seen_.erase(order_.front());
      order_.pop_front();
    }
    return true;
  }
  const auto apart = std::chrono::abs(report.at - found->second.at);
  if (report.node != found->second.node && apart <= kReportsApart) return false;
  found->second = report;  // the same ends and ports again: another flow
  return true;
}

std::vector<std::string> flow_header() {
  return {"TIME", "VERDICT", "FROM", "TO", "BYTES", "RULE OR REASON"};
}

std::vector<std::string> flow_row(const json::object& flow) {
  const bool closed = text(flow, "kind") == "closed";
  return {moment(flow),
          closed ? "ended" : text(flow, "verdict"),
          source_text(flow),
          target_text(flow),
          closed ? bytes_text(static_cast<std::uint64_t>(number(flow, "bytes"))) : "",
          reason_text(flow) + more_text(flow)};
}

std::vector<std::string> drop_header() {
  return {"TIME", "DROPPED BY", "FROM", "TO", "REASON"};
}

std::vector<std::string> drop_row(const json::object& flow) {
  return {moment(flow), text(flow, "node"), source_text(flow), target_text(flow),
          reason_text(flow) + more_text(flow)};
}

}  // namespace cordon::cli
