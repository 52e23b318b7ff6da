#pragma once
// WireGuard by wireguard-go over the veth link of a pair of namespaces.

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace cordon::bench {

/// A tunnel between sender and receiver of a pair (made without overlay addresses), with the addresses of
/// ends_v4() and ends_v6() at its ends. Its two processes end with it.
class UserspaceTunnel {
 public:
  static Result<UserspaceTunnel> make(int pair);
  UserspaceTunnel(UserspaceTunnel&& other) noexcept = default;
  ~UserspaceTunnel();

  std::string receiver_interface() const;

 private:
  explicit UserspaceTunnel(int pair) : pair_(pair) {}
  Result<> start(const std::string& ns, const std::string& interface);

  int pair_ = 0;
  std::vector<pid_t> processes_;
};

}  // namespace cordon::bench
