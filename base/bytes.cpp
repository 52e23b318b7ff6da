#include "base/bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include <sodium.h>

#include "base/openssl.h"
#include "base/sodium.h"

namespace cordon {
namespace {

void put_big_endian(Bytes& out, std::uint64_t v, unsigned bytes) {
  for (unsigned i = bytes; i-- > 0;) out.push_back(static_cast<std::uint8_t>(v >> (8 * i)));
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The two alphabets of RFC 4648 differ in their last two characters; padding goes with the first.
struct Base64 {
  char c62, c63;
  bool padded;
};
constexpr Base64 kStandard{'+', '/', true};
constexpr Base64 kUrl{'-', '_', false};

char base64_digit(unsigned v, const Base64& kind) {
  if (v < 26) return static_cast<char>('A' + v);
  if (v < 52) return static_cast<char>('a' + (v - 26));
  if (v < 62) return static_cast<char>('0' + (v - 52));
  return v == 62 ? kind.c62 : kind.c63;
}

int base64_value(char c, const Base64& kind) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == kind.c62) return 62;
  return c == kind.c63 ? 63 : -1;
}

std::string base64_encode(ByteView bytes, const Base64& kind) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  std::uint32_t pending = 0;
  unsigned bits = 0;
  for (const std::uint8_t b : bytes) {
    pending = pending << 8 | b;
    for (bits += 8; bits >= 6; bits -= 6) out += base64_digit(pending >> (bits - 6) & 63, kind);
  }
  if (bits > 0) out += base64_digit(pending << (6 - bits) & 63, kind);
  while (kind.padded && out.size() % 4 != 0) out += '=';
  return out;
}

// The messages never quote the text: it may be a key.
Result<Bytes> base64_decode(std::string_view text, const Base64& kind) {
  if (kind.padded) {
    if (text.size() % 4 != 0) return fail(ErrorCode::invalid, "base64 text has no multiple of 4 characters");
    for (int i = 0; i < 2 && text.ends_with('='); ++i) text.remove_suffix(1);
  }
  if (text.size() % 4 == 1) return fail(ErrorCode::invalid, "base64 text is cut short");
  Bytes out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t pending = 0;
  unsigned bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int value = base64_value(text[i], kind);
    if (value < 0) return fail(ErrorCode::invalid, fmt::format("character {} is not base64", i + 1));
    pending = pending << 6 | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out.push_back(static_cast<std::uint8_t>(pending >> bits));
    }
  }
  // One value, one text: bits that no byte holds must be zero.
  if ((pending & ((1u << bits) - 1)) != 0)
    return fail(ErrorCode::invalid, "base64 text has stray bits at its end");
  return out;
}

}  // namespace

ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string to_hex(ByteView bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::uint8_t b : bytes) {
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
  return out;
}

Result<Bytes> from_hex(std::string_view text) {
  if (text.size() % 2 != 0) return fail(ErrorCode::invalid, "hexadecimal text has an odd number of digits");
  Bytes out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) {
      return fail(ErrorCode::invalid,
                  fmt::format("character {} is not a hexadecimal digit", i + (high < 0 ? 1 : 2)));
    }
    out.push_back(static_cast<std::uint8_t>(high << 4 | low));
  }
  return out;
}

std::string to_base64(ByteView bytes) {
  return base64_encode(bytes, kStandard);
}
Result<Bytes> from_base64(std::string_view text) {
  return base64_decode(text, kStandard);
}
std::string to_base64url(ByteView bytes) {
  return base64_encode(bytes, kUrl);
}
Result<Bytes> from_base64url(std::string_view text) {
  return base64_decode(text, kUrl);
}

void put_u8(Bytes& out, std::uint8_t v) {
  out.push_back(v);
}
void put_u16(Bytes& out, std::uint16_t v) {
  put_big_endian(out, v, 2);
}
void put_u32(Bytes& out, std::uint32_t v) {
  put_big_endian(out, v, 4);
}
void put_u64(Bytes& out, std::uint64_t v) {
  put_big_endian(out, v, 8);
}
void put_sized(Bytes& out, ByteView v) {
  put_u32(out, static_cast<std::uint32_t>(v.size()));
  out.insert(out.end(), v.begin(), v.end());
}
void put_sized(Bytes& out, std::string_view v) {
  put_sized(out, as_bytes(v));
}

Sha256 sha256(ByteView bytes) {
  // A one-shot call looks the algorithm up by its name each time, which takes longer than hashing 100 bytes.
  thread_local const crypto::OwnedDigest kDigest(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  thread_local const crypto::OwnedDigestContext kContext(EVP_MD_CTX_new());
  Sha256 out;
  // Can only fail for want of memory.
  if (!kDigest || !kContext || EVP_DigestInit_ex2(kContext.get(), kDigest.get(), nullptr) != 1 ||
      EVP_DigestUpdate(kContext.get(), bytes.data(), bytes.size()) != 1 ||
      EVP_DigestFinal_ex(kContext.get(), out.data(), nullptr) != 1)
    std::abort();
  return out;
}

void SetDigest::add(ByteView element) {
  const Sha256 hash = sha256(element);
  unsigned carry = 0;
  for (std::size_t i = sum_.size(); i-- > 0;) {
    carry += unsigned{sum_[i]} + hash[i];
    sum_[i] = static_cast<std::uint8_t>(carry);
    carry >>= 8;
  }
}

void SetDigest::remove(ByteView element) {
  const Sha256 hash = sha256(element);
  unsigned borrow = 0;
  for (std::size_t i = sum_.size(); i-- > 0;) {
    const unsigned difference = 256u + sum_[i] - hash[i] - borrow;
    sum_[i] = static_cast<std::uint8_t>(difference);
    borrow = difference < 256 ? 1 : 0;
  }
}

bool equal_in_constant_time(ByteView a, ByteView b) {
  ensure_sodium();
  return a.size() == b.size() && (a.empty() || sodium_memcmp(a.data(), b.data(), a.size()) == 0);
}

Bytes random_bytes(std::size_t count) {
  ensure_sodium();
  Bytes out(count);
  if (count != 0) randombytes_buf(out.data(), count);
  return out;
}

}  // namespace cordon
