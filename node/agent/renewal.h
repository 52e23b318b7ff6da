#pragma once
// The device's certificate: renewed at half its life, in the running session.

#include <optional>

#include "base/crypto.h"
#include "base/result.h"
#include "base/time.h"
#include "node/agent/identity.h"

namespace cordon::wire {
class RenewAnswer;
class RenewRequest;
}  // namespace cordon::wire

namespace cordon::node {

class Renewal {
 public:
  Renewal(const IdentityStore& store, const crypto::PrivateKey& key, const Clock& clock)
      : store_(store), key_(key), clock_(clock) {}

  /// Half the certificate's life is over, and no question is under way that was asked within the last minute.
  bool due(const Identity& identity) const;
  /// The question; counts as under way from now on.
  Result<> ask(const Identity& identity, wire::RenewRequest& request);
  /// A checked new certificate is stored and put into `identity`; else the old one stays and the error says
  /// why.
  Result<> take(const wire::RenewAnswer& answer, Identity& identity);

 private:
  const IdentityStore& store_;
  const crypto::PrivateKey key_;
  const Clock& clock_;
  std::uint64_t request_ = 0;
  std::optional<BootNs> asked_;
};

}  // namespace cordon::node
