#include "base/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>

#include "base/bytes.h"

namespace cordon {
namespace {

constexpr std::array<std::uint8_t, 12> kV4Mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr unsigned kV4Offset = 96;

std::unexpected<Error> not_an_address(std::string_view text) {
  return fail(ErrorCode::invalid, fmt::format("'{}' is not an IP address", text.substr(0, 64)),
              "write it as 192.0.2.1 or 2001:db8::1");
}

/// A decimal of digits alone, at most `most`.
Result<unsigned> parse_decimal(std::string_view text, unsigned most, std::string_view what) {
  unsigned value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool leading_zero = text.size() > 1 && text.front() == '0';
  if (code != std::errc{} || end != text.data() + text.size() || value > most || leading_zero) {
    return fail(ErrorCode::invalid, fmt::format("'{}' is not a {}", text.substr(0, 64), what),
                fmt::format("write a number from 0 to {}", most));
  }
  return value;
}

/// Where the longest run of at least two zero groups is; length 0 when there is none (RFC 5952, 4.2).
struct ZeroRun {
  std::size_t begin = 0, length = 0;
};
ZeroRun longest_zero_run(const std::array<unsigned, 8>& groups) {
  ZeroRun best;
  for (std::size_t begin = 0; begin < groups.size(); ++begin) {
    std::size_t end = begin;
    while (end < groups.size() && groups[end] == 0) ++end;
    if (end - begin > std::max<std::size_t>(best.length, 1)) best = {begin, end - begin};
  }
  return best;
}

}  // namespace

Address Address::from_v4(std::uint32_t host_order) {
  Address out;
  std::ranges::copy(kV4Mapped, out.bytes.begin());
  for (unsigned i = 0; i < 4; ++i) out.bytes[12 + i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return out;
}

Result<Address> Address::from_bytes(std::span<const std::uint8_t> bytes) {
  Address out;
  if (bytes.size() == 4) {
    std::ranges::copy(kV4Mapped, out.bytes.begin());
    std::ranges::copy(bytes, out.bytes.begin() + 12);
    return out;
  }
  if (bytes.size() != out.bytes.size()) {
    return fail(ErrorCode::invalid, fmt::format("an address has 4 or 16 bytes, not {}", bytes.size()));
  }
  std::ranges::copy(bytes, out.bytes.begin());
  return out;
}

Result<Address> Address::parse(std::string_view text) {
  // inet_pton wants a terminator; an embedded one must not cut the text short.
  if (text.size() >= INET6_ADDRSTRLEN || text.contains('\0')) return not_an_address(text);
  const std::string terminated(text);
  std::array<std::uint8_t, 16> raw{};
  if (inet_pton(AF_INET, terminated.c_str(), raw.data()) == 1) return from_bytes(std::span(raw).first(4));
  if (inet_pton(AF_INET6, terminated.c_str(), raw.data()) == 1) return from_bytes(raw);
  return not_an_address(text);
}

bool Address::is_v4() const {
  return std::equal(kV4Mapped.begin(), kV4Mapped.end(), bytes.begin());
}

bool Address::is_unspecified() const {
  return std::ranges::all_of(raw(), [](std::uint8_t b) { return b == 0; });
}

std::uint32_t Address::v4_host_order() const {
  return std::uint32_t{bytes[12]} << 24 | std::uint32_t{bytes[13]} << 16 | std::uint32_t{bytes[14]} << 8 |
         std::uint32_t{bytes[15]};
}

std::span<const std::uint8_t> Address::raw() const {
  const std::span<const std::uint8_t> all(bytes);
  return is_v4() ? all.last(4) : all;
}

std::string Address::to_string() const {
  if (is_v4()) return fmt::format("{}.{}.{}.{}", bytes[12], bytes[13], bytes[14], bytes[15]);
  std::array<unsigned, 8> groups{};
  for (std::size_t i = 0; i < 8; ++i) groups[i] = unsigned{bytes[2 * i]} << 8 | bytes[2 * i + 1];
  const ZeroRun run = longest_zero_run(groups);
  std::string out;
  for (std::size_t i = 0; i < 8;) {
    if (run.length != 0 && i == run.begin) {
      out += "::";
      i += run.length;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    out += fmt::format("{:x}", groups[i++]);
  }
  return out;
}

Result<Prefix> Prefix::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  CORDON_ASSIGN(const Address address, Address::parse(text.substr(0, slash)));
  if (slash == std::string_view::npos) return host(address);
  if (address.is_v4() && text.contains(':')) {
    return fail(ErrorCode::invalid, fmt::format("'{}' is an IPv4 prefix in IPv6 form", text),
                fmt::format("write it with the address as {}", address.to_string()));
  }
  CORDON_ASSIGN(const unsigned length,
                parse_decimal(text.substr(slash + 1), address.is_v4() ? 32 : 128, "prefix length"));
  const Prefix out = of(address, length);
  if (out.address != address) {
    return fail(ErrorCode::invalid, fmt::format("'{}' has bits set past its length", text),
                fmt::format("did you mean '{}'?", out.to_string()));
  }
  return out;
}

Prefix Prefix::of(const Address& address, unsigned length) {
  const unsigned offset = address.is_v4() ? kV4Offset : 0;
  const unsigned bits = std::min(length, 128 - offset) + offset;
  Prefix out{address, static_cast<std::uint8_t>(bits)};
  for (unsigned i = 0; i < 16; ++i) {
    const unsigned kept = std::clamp(static_cast<int>(bits) - static_cast<int>(8 * i), 0, 8);
    out.address.bytes[i] &= static_cast<std::uint8_t>(0xff00u >> kept);
  }
  return out;
}

bool Prefix::contains(const Address& other) const {
  const unsigned whole = bits / 8, rest = bits % 8;
  if (!std::equal(address.bytes.begin(), address.bytes.begin() + whole, other.bytes.begin())) return false;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff00u >> rest);
  return (address.bytes[whole] & mask) == (other.bytes[whole] & mask);
}

unsigned Prefix::length() const {
  if (!address.is_v4()) return bits;
  return bits > kV4Offset ? bits - kV4Offset : 0;
}

std::string Prefix::to_string() const {
  return fmt::format("{}/{}", address.to_string(), length());
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
  const auto malformed = [&] {
    return fail(ErrorCode::invalid, fmt::format("'{}' is not an address and a port", text.substr(0, 80)),
                "write it as 192.0.2.1:443 or [2001:db8::1]:443");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return malformed();
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (bracketed != host.contains(':')) return malformed();
  CORDON_ASSIGN(const Address address, Address::parse(host));
  CORDON_ASSIGN(const unsigned port, parse_decimal(text.substr(colon + 1), 65535, "port"));
  return Endpoint{address, static_cast<std::uint16_t>(port)};
}

std::string Endpoint::to_string() const {
  return fmt::format(fmt::runtime(address.is_v4() ? "{}:{}" : "[{}]:{}"), address.to_string(), port);
}

}  // namespace cordon

std::size_t std::hash<cordon::Address>::operator()(const cordon::Address& a) const noexcept {
  return std::hash<std::string_view>{}(cordon::as_text(a.bytes));
}
