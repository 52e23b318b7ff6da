#pragma once
// What this machine is: its keys, which never leave it (I7), its certificate, and the roots it trusts. Files
// of the state directory, each written atomically; private keys are 0600 and refused when others may read
// them.

#include <filesystem>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace cordon::node {

struct Keys {
  crypto::PrivateKey device;
  WireguardKey wireguard{};                    ///< private
  std::optional<WireguardKey> next_wireguard;  ///< private: made, and not turned to yet
  Timestamp wireguard_since{};                 ///< by the wall clock
  bool half_turned =
      false;  ///< `wireguard` was the next key when we ended: the tunnel may have the one before
};

struct Identity {
  DeviceId device;
  bool pending = false;         ///< enrolled, waiting for an operator's approval: no certificate yet
  std::string certificate_pem;  ///< leaf, then intermediate
  std::string trust_pem;        ///< roots; while pending, the pinned one
};

class IdentityStore {
 public:
  explicit IdentityStore(std::filesystem::path state_directory) : directory_(std::move(state_directory)) {}

  /// The keys, made on the first call.
  Result<Keys> load_or_make_keys() const;
  Result<Keys> load_keys() const;

  /// In this order a crash at any point leaves a key that the controller knows: the next key is kept before
  /// it is offered; it takes the place of the one in use before the tunnel has it; it is forgotten when it
  /// has.
  Result<> keep_next_key(const WireguardKey& key) const;
  Result<> turn_to_key(const WireguardKey& key) const;
  Result<> forget_next_key() const;

  /// None: not enrolled.
  Result<std::optional<Identity>> load() const;
  Result<> save(const Identity& identity) const;

  const std::filesystem::path& directory() const { return directory_; }

 private:
  std::filesystem::path directory_;
};

/// A file of at most `limit` bytes that only its owner, who is us, may read; else `forbidden` with the mend.
Result<std::string> read_secret_file(const std::filesystem::path& path, std::size_t limit = 64u << 10);

}  // namespace cordon::node
