#pragma once
// One address type for both families: 16 bytes in network order, IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).

#include <array>
#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cordon {

struct Address {
  std::array<std::uint8_t, 16> bytes{};

  static Address from_v4(std::uint32_t host_order);
  /// 4 or 16 bytes in network order; anything else is `invalid`.
  static Result<Address> from_bytes(std::span<const std::uint8_t> bytes);
  /// Dotted quad or RFC 4291 text; no zone, no brackets.
  static Result<Address> parse(std::string_view text);

  bool is_v4() const;
  bool is_unspecified() const;                ///< 0.0.0.0 or ::
  std::uint32_t v4_host_order() const;        ///< only when is_v4()
  std::span<const std::uint8_t> raw() const;  ///< 4 or 16 bytes in network order
  std::string to_string() const;              ///< canonical text (RFC 5952)

  auto operator<=>(const Address&) const = default;
  bool operator==(const Address&) const = default;
};

/// An address and how many leading bits count. `bits` counts over the 16 bytes: an IPv4 /24 is 120.
struct Prefix {
  Address address;
  std::uint8_t bits = 128;

  static Prefix host(const Address& address) { return {address, 128}; }
  /// "192.0.2.0/24", "fd00::/48" or a lone address; host bits set are `invalid`, with the mended prefix as
  /// hint.
  static Result<Prefix> parse(std::string_view text);
  /// The prefix of `length` bits in the address's own family; host bits are cleared.
  static Prefix of(const Address& address, unsigned length);

  bool contains(const Address& other) const;
  unsigned length() const;  ///< in the family's own terms (0..32 or 0..128)
  std::string to_string() const;

  auto operator<=>(const Prefix&) const = default;
  bool operator==(const Prefix&) const = default;
};

/// An address and a UDP or TCP port (host order).
struct Endpoint {
  Address address;
  std::uint16_t port = 0;

  /// "192.0.2.1:51820" or "[2001:db8::1]:51820".
  static Result<Endpoint> parse(std::string_view text);
  std::string to_string() const;

  auto operator<=>(const Endpoint&) const = default;
  bool operator==(const Endpoint&) const = default;
};

}  // namespace cordon

template <>
struct std::hash<cordon::Address> {
  std::size_t operator()(const cordon::Address& a) const noexcept;
};
