#pragma once
// The person at the terminal.

#include <string>
#include <string_view>

#include "base/result.h"

namespace cordon::cli {

/// Asks on /dev/tty, so that it works with redirected output; without echo when `secret`. The terminal is put
/// back as it was, also when the person interrupts.
Result<std::string> prompt_on_terminal(std::string_view prompt, bool secret);

}  // namespace cordon::cli
