#pragma once
// A join token as people carry it: "cordon1." id "." secret "." fingerprint, the last two base64url.

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"

namespace cordon::wire {

struct JoinTokenText {
  TokenId id;
  Bytes secret;             ///< 32 bytes
  Sha256 ca_fingerprint{};  ///< SHA-256 of the root certificate's DER: pins the first contact
};

std::string to_string(const JoinTokenText& token);
/// Every malformed part is named, the secret never.
Result<JoinTokenText> parse_join_token(std::string_view text);

}  // namespace cordon::wire
