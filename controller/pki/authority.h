#pragma once
// The certificate authority: a root (kept offline if wished), an intermediate for this controller, its server
// and log-signing certificates, device certificates. Made at first start; keys in the secret store.

#include <memory>
#include <string>
#include <string_view>

#include "base/crypto.h"
#include "base/ids.h"
#include "controller/secrets/secret_store.h"

namespace cordon::controller {

inline constexpr Seconds kDeviceCertificateLife{24 * 3600};

class Authority {
 public:
  virtual ~Authority() = default;
  virtual const std::string& trust_bundle_pem() const = 0;   ///< roots
  virtual const Sha256& root_fingerprint() const = 0;        ///< what join tokens pin
  virtual const std::string& server_chain_pem() const = 0;   ///< leaf, intermediate: node and API listeners
  virtual const crypto::PrivateKey& server_key() const = 0;  ///< also signs heads
  /// A device certificate: SAN spiffe://DOMAIN/device/ID, 24 h. The key is the request's; the chain (leaf,
  /// intermediate) is returned.
  virtual Result<std::string> issue_device(std::string_view csr_pem, const DeviceId& device,
                                           Timestamp now) = 0;
  /// Renews the server certificate when half its life is over; true when it did (listeners reload).
  virtual Result<bool> renew_server(Timestamp now) = 0;
};

struct AuthorityConfig {
  std::string trust_domain;
  std::string controller_name;
  std::vector<std::string> dns_names, ip_addresses;  ///< of the listeners
};

Result<std::unique_ptr<Authority>> open_authority(const AuthorityConfig& config, SecretStore& secrets,
                                                  Timestamp now);

}  // namespace cordon::controller
