#include "controller/identity/totp.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace cordon::controller {

std::uint64_t totp_step(Timestamp at) {
  const std::int64_t us = to_us(at);
  return us <= 0 ? 0 : static_cast<std::uint64_t>(us) / 1'000'000 / kTotpStepSeconds;
}

std::string totp_code(ByteView secret, std::uint64_t step, unsigned digits) {
  Bytes counter;
  put_u64(counter, step);
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> mac{};
  unsigned length = 0;
  HMAC(EVP_sha1(), secret.data(), static_cast<int>(secret.size()), counter.data(), counter.size(), mac.data(),
       &length);
  const unsigned offset = mac[19] & 0x0f;
  const std::uint32_t number = (mac[offset] & 0x7fu) << 24 |
                               static_cast<std::uint32_t>(mac[offset + 1]) << 16 |
                               static_cast<std::uint32_t>(mac[offset + 2]) << 8 | mac[offset + 3];
  std::uint32_t modulus = 1;
  for (unsigned i = 0; i < digits; ++i) modulus *= 10;
  return fmt::format("{:0{}}", number % modulus, digits);
}

std::optional<std::uint64_t> totp_match(ByteView secret, std::string_view code, Timestamp now,
                                        std::uint64_t last_used) {
  const std::uint64_t middle = totp_step(now);
  std::optional<std::uint64_t> found;
  for (std::uint64_t step = middle == 0 ? 0 : middle - 1; step <= middle + 1; ++step) {
    const std::string expected = totp_code(secret, step);
    const bool equal = equal_in_constant_time(as_bytes(expected), as_bytes(code));
    if (equal && step > last_used) found = step;
  }
  return found;
}

std::string to_base32(ByteView bytes) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  std::string out;
  std::uint32_t buffer = 0;
  unsigned bits = 0;
  for (const std::uint8_t byte : bytes) {
    buffer = buffer << 8 | byte;
    for (bits += 8; bits >= 5; bits -= 5) out += kAlphabet[buffer >> (bits - 5) & 31];
    buffer &= (1u << bits) - 1;
  }
  if (bits > 0) out += kAlphabet[buffer << (5 - bits) & 31];
  return out;
}

std::string otpauth_uri(std::string_view user, ByteView secret) {
  std::string label;
  for (const char c : user) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
    if (plain) {
      label += c;
    } else {
      label += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return fmt::format("otpauth://totp/Cordon:{}?secret={}&issuer=Cordon&algorithm=SHA1&digits=6&period={}",
                     label, to_base32(secret), kTotpStepSeconds);
}

}  // namespace cordon::controller
