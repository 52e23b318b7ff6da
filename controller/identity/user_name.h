#pragma once
// Names of people: lowercase and like an e-mail address, so that each is written one way only.

#include <string>
#include <string_view>

#include "base/result.h"

namespace cordon::controller {

/// "trader@acme.example": at most 254 bytes, one @, [a-z0-9._+-] before it, a host name after it.
Result<> check_user_name(std::string_view name);

/// As people type it: blanks around it off, ASCII letters lowered.
std::string normalized_user_name(std::string_view typed);

}  // namespace cordon::controller
