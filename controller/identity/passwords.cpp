#include "controller/identity/passwords.h"

#include <fmt/format.h>
#include <sodium.h>

#include <array>
#include <cstring>

namespace cordon::controller {
namespace {

/// Code points, or -1 when the bytes are not UTF-8 (RFC 3629: no surrogates, nothing overlong).
long count_characters(std::string_view text) {
  long count = 0;
  for (std::size_t i = 0; i < text.size(); ++count) {
    const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(text[k]); };
    const unsigned first = byte(i);
    const unsigned length = first < 0x80   ? 1
                            : first < 0xc2 ? 0
                            : first < 0xe0 ? 2
                            : first < 0xf0 ? 3
                            : first < 0xf5 ? 4
                                           : 0;
    if (length == 0 || i + length > text.size()) return -1;
    for (unsigned k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xc0) != 0x80) return -1;
    }
    if (length == 3 && ((first == 0xe0 && byte(i + 1) < 0xa0) || (first == 0xed && byte(i + 1) > 0x9f)))
      return -1;
    if (length == 4 && ((first == 0xf0 && byte(i + 1) < 0x90) || (first == 0xf4 && byte(i + 1) > 0x8f)))
      return -1;
    i += length;
  }
  return count;
}

}  // namespace

Result<> check_password_policy(std::string_view password) {
  if (password.size() > kMaxPasswordBytes) {
    return fail(ErrorCode::invalid, "the password is too long",
                fmt::format("use at most {} bytes", kMaxPasswordBytes));
  }
  const long characters = count_characters(password);
  if (characters < 0) {
    return fail(ErrorCode::invalid, "the password is not valid UTF-8",
                "set the terminal to UTF-8 and try again");
  }
  if (static_cast<std::size_t>(characters) < kMinPasswordCharacters) {
    return fail(
        ErrorCode::invalid, "the password is too short",
        fmt::format("use at least {} characters; a few words are easy to keep", kMinPasswordCharacters));
  }
  return {};
}

Result<std::string> hash_password(std::string_view password, const HashCost& cost) {
  if (sodium_init() < 0) return fail(ErrorCode::internal, "libsodium can't start");
  std::array<char, crypto_pwhash_STRBYTES> out{};
  if (crypto_pwhash_str_alg(out.data(), password.data(), password.size(), cost.operations, cost.memory_bytes,
                            crypto_pwhash_ALG_ARGON2ID13) != 0) {
    return fail(ErrorCode::exhausted, "there is not enough memory to hash a password",
                fmt::format("one hash needs {} MiB", cost.memory_bytes >> 20));
  }
  return std::string(out.data());
}

bool verify_password(std::string_view hash, std::string_view password) {
  if (sodium_init() < 0 || hash.size() >= crypto_pwhash_STRBYTES) return false;
  std::array<char, crypto_pwhash_STRBYTES> text{};
  std::memcpy(text.data(), hash.data(), hash.size());
  return crypto_pwhash_str_verify(text.data(), password.data(), password.size()) == 0;
}

}  // namespace cordon::controller
