#pragma once
// Which backend carries the tunnel.

#include <functional>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "node/tunnel/tunnel.h"

namespace cordon::node::wireguard {

struct Choice {
  Backend wanted = Backend::automatic;
  std::optional<Backend> remembered;  ///< what this machine used last
  std::optional<Backend> present;     ///< what carries the interface right now
  bool allow_fallback = false;
};

/// What is present is adopted when it may be; else the kernel where it can, else userspace. A machine that
/// used the kernel goes to userspace only with `allow_fallback`: a missing module must not pass unseen as a
/// slow network. `kernel_works` is asked only when it matters.
Result<Backend> choose(const Choice& choice, const std::function<Result<bool>()>& kernel_works);

std::string_view to_string(Backend backend);

}  // namespace cordon::node::wireguard
