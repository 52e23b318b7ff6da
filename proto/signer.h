#pragma once
// Who signed a head of the change log: a controller whose certificate leads to a root that is trusted.

#include <map>
#include <string>
#include <string_view>

#include "proto/log_record.h"

namespace cordon::wire {

/// What a chain of certificates proves: the leaf's key, and from when to when all of it is in force.
struct Signer {
  Bytes public_key_der;
  std::string name;  ///< the leaf's URI: "spiffe://acme.example/controller/controller-1"
  Timestamp not_before{}, not_after{};
};

/// Follows `chain_pem` (leaf first) to one of `roots_pem` as of `at`. The leaf must be a controller's: a
/// device's certificate leads to the same root and may sign no heads (`forbidden`).
Result<Signer> verify_signer(std::string_view chain_pem, std::string_view roots_pem, Timestamp at);

/// Verifies many heads; a chain is followed once as long as it is in force.
class HeadVerifier {
 public:
  explicit HeadVerifier(std::string roots_pem) : roots_pem_(std::move(roots_pem)) {}
  /// `at`: when the head was signed (its record's time).
  Result<> verify(const LogHead& head, Timestamp at);
  const std::map<std::string, Signer>& signers() const { return signers_; }

 private:
  std::string roots_pem_;
  std::map<std::string, Signer> signers_;  // by chain
};

}  // namespace cordon::wire
