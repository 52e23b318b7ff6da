#include "node/tunnel/choice.h"

namespace cordon::node::wireguard {
namespace {

Result<Backend> fall_back(const Choice& choice, std::string what) {
  const bool kernel_before = choice.remembered == Backend::kernel || choice.present == Backend::kernel;
  if (!kernel_before || choice.allow_fallback) return Backend::userspace;
  return fail(
      ErrorCode::conflict, std::move(what) + ", but this machine used the kernel's before",
      "load the module (modprobe wireguard), or allow it with 'allow_fallback = true' under [tunnel]");
}

}  // namespace

Result<Backend> choose(const Choice& choice, const std::function<Result<bool>()>& kernel_works) {
  if (choice.wanted == Backend::userspace) return fall_back(choice, "a userspace WireGuard is configured");
  if (choice.wanted == Backend::automatic && choice.present) return *choice.present;
  if (choice.present == Backend::kernel) return Backend::kernel;
  CORDON_ASSIGN(const bool works, kernel_works());
  if (works) return Backend::kernel;
  if (choice.wanted == Backend::kernel) {
    return fail(ErrorCode::unavailable, "the kernel has no WireGuard",
                "load the module (modprobe wireguard), or set 'backend = \"userspace\"' under [tunnel]");
  }
  return fall_back(choice, "the kernel has no WireGuard");
}

std::string_view to_string(Backend backend) {
  switch (backend) {
    case Backend::automatic:
      return "auto";
    case Backend::kernel:
      return "kernel";
    case Backend::userspace:
      return "userspace";
  }
  return "auto";
}

}  // namespace cordon::node::wireguard
