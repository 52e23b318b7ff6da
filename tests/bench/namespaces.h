#pragma once
// Network namespaces in pairs, each pair joined by a veth link with an address of either family at both ends.

#include <string>
#include <utility>

#include "base/result.h"
#include "node/filter/descriptor.h"

namespace cordon::bench {

/// Runs a command with its output shown only when it fails.
Result<> shell(const std::string& command);

/// Moves this thread to a named namespace and back. Sockets stay in the namespace they were made in.
class Inside {
 public:
  explicit Inside(const std::string& name);
  ~Inside();
  Inside(const Inside&) = delete;
  bool ok() const { return ok_; }

 private:
  node::Descriptor before_;
  bool ok_ = false;
};

inline constexpr const char* kLink = "c-w";  ///< the veth interface in every namespace
std::string sender(int pair);
std::string receiver(int pair);

/// Pairs 0 to `pairs` - 1 as long as it lives: c-bench-sN and c-bench-rN, with the addresses of ends_v4() and
/// ends_v6() on their link (`overlay`), or, for a tunnel to run over it, 192.0.2.1 and .2.
class Namespaces {
 public:
  static Result<Namespaces> make(int pairs, bool overlay);
  Namespaces(Namespaces&& other) noexcept : pairs_(std::exchange(other.pairs_, 0)) {}
  ~Namespaces();

 private:
  explicit Namespaces(int pairs) : pairs_(pairs) {}
  int pairs_ = 0;
};

}  // namespace cordon::bench
