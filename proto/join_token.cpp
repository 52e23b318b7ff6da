#include "proto/join_token.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace cordon::wire {
namespace {

constexpr std::string_view kLabel = "cordon1";
constexpr std::string_view kBlanks = " \t\r\n";
constexpr std::size_t kLongestText = 512, kLongestId = 64, kSecretBytes = 32;

// No message quotes the text: two of its parts open doors.
std::unexpected<Error> malformed(std::string_view why) {
  return fail(ErrorCode::invalid, fmt::format("the join token is malformed: {}", why),
              "copy the whole line that 'cordon token create' printed");
}

bool is_token_id(std::string_view text) {
  return text.size() > 2 && text.size() <= kLongestId && text.starts_with("t-") &&
         std::ranges::all_of(
             text, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

}  // namespace

std::string to_string(const JoinTokenText& token) {
  return fmt::format("{}.{}.{}.{}", kLabel, token.id.value, to_base64url(token.secret),
                     to_base64url(token.ca_fingerprint));
}

Result<JoinTokenText> parse_join_token(std::string_view text) {
  if (text.size() > kLongestText)
    return malformed(fmt::format("it has more than {} characters", kLongestText));
  std::string_view rest = trimmed(text);
  if (rest.empty()) return malformed("it is empty");
  std::array<std::string_view, 4> parts;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t dot = rest.find('.');
    if ((dot == std::string_view::npos) != (i + 1 == parts.size())) {
      return malformed(fmt::format("it needs {} parts, separated by dots", parts.size()));
    }
    parts[i] = rest.substr(0, dot);
    rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  }
  const auto& [label, id, secret_text, fingerprint_text] = parts;
  if (label != kLabel) return malformed(fmt::format("it doesn't begin with '{}.'", kLabel));
  if (!is_token_id(id)) return malformed("its id is none");
  auto secret = from_base64url(secret_text);
  if (!secret || secret->size() != kSecretBytes) return malformed("its secret is not 32 bytes of base64url");
  const auto fingerprint = from_base64url(fingerprint_text);
  JoinTokenText out{.id = TokenId(std::string(id)), .secret = *std::move(secret)};
  if (!fingerprint || fingerprint->size() != out.ca_fingerprint.size()) {
    return malformed("its fingerprint is not 32 bytes of base64url");
  }
  std::ranges::copy(*fingerprint, out.ca_fingerprint.begin());
  return out;
}

}  // namespace cordon::wire
