#include "node/filter/place_pins.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace cordon::node {
namespace {

constexpr std::string_view kOverlayKind = "overlay";
constexpr std::string_view kGuardKind = "guard";

bool take_front(std::string_view& text, std::string_view front) {
  if (!text.starts_with(front)) return false;
  text.remove_prefix(front.size());
  return true;
}

/// "7-rest" becomes 7 and "rest".
bool take_ifindex(std::string_view& text, unsigned& out) {
  const auto read = std::from_chars(text.data(), text.data() + text.size(), out);
  if (read.ec != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
  return take_front(text, "-");
}

std::optional<tcx::Hook> parse_hook(std::string_view suffix) {
  if (suffix == "in") return tcx::Hook::ingress;
  if (suffix == "out") return tcx::Hook::egress;
  return std::nullopt;
}

std::optional<PlacePin> parse_place(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  std::string_view rest = name;
  PlacePin pin{.path = path, .kind = {}};
  if (take_front(rest, "clsact-")) {
    pin.clsact = true;
    if (!take_ifindex(rest, pin.ifindex)) return std::nullopt;
  } else if (!take_front(rest, "link-")) {
    return std::nullopt;
  }
  const std::string_view place = rest;
  std::optional<tcx::Hook> hook;
  if (take_front(rest, "overlay_")) {
    pin.kind = kOverlayKind;
    hook = parse_hook(rest);
  } else if (take_front(rest, "guard-") && take_ifindex(rest, pin.ifindex)) {
    pin.kind = kGuardKind;
    hook = parse_hook(rest);
  }
  if (hook) {
    pin.at_interface = true;
    pin.hook = *hook;
  } else {
    pin.kind = place;
  }
  return pin.clsact && !hook ? std::nullopt : std::optional(std::move(pin));
}

}  // namespace

const char* hook_suffix(tcx::Hook hook) {
  return hook == tcx::Hook::ingress ? "in" : "out";
}

std::filesystem::path link_pin(const std::filesystem::path& directory, const std::string& kind,
                               unsigned ifindex, tcx::Hook hook) {
  if (kind == kGuardKind) return directory / fmt::format("link-guard-{}-{}", ifindex, hook_suffix(hook));
  return directory / fmt::format("link-{}_{}", kind, hook_suffix(hook));
}

std::filesystem::path PlacePin::link_path() const {
  return at_interface ? link_pin(path.parent_path(), kind, ifindex, hook) : path;
}

std::vector<PlacePin> place_pins(const std::filesystem::path& directory) {
  std::vector<PlacePin> out;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored))
    if (auto pin = parse_place(entry.path())) out.push_back(std::move(*pin));
  std::ranges::sort(out, {}, &PlacePin::path);
  return out;
}

}  // namespace cordon::node
