#pragma once
// Secrets never enter the log: CA keys, password hashes, TOTP secrets and people's sealing keys live here,
// each sealed (XChaCha20-Poly1305, the name as associated data) under a data key that a file or a passphrase
// unlocks.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace cordon::controller {

class SecretStore {
 public:
  virtual ~SecretStore() = default;
  virtual Result<std::optional<Bytes>> get(std::string_view name) = 0;
  virtual Result<> put(std::string_view name, ByteView secret) = 0;  ///< durable on return
  virtual Result<> erase(std::string_view name) = 0;
};

/// `key_file` (0600, 32 random bytes as hex) is made at first start; a wrong key is `unauthorized`, not
/// garbage.
Result<std::unique_ptr<SecretStore>> open_secret_store(const std::filesystem::path& database,
                                                       const std::filesystem::path& key_file);

/// Personal fields of the log, sealed under a key per person so that erasing the person is destroying the
/// key.
Result<std::string> seal_personal(SecretStore& store, std::string_view subject, std::string_view text);
/// nullopt when the person's key is destroyed; `invalid` when it was sealed with another.
Result<std::optional<std::string>> open_personal(SecretStore& store, std::string_view subject,
                                                 std::string_view sealed);
/// The same for the log's fold: what can't be opened for good is gone, as with a destroyed key, and is told
/// in our log; a store that can't be read now is an error.
Result<std::optional<std::string>> open_personal_or_gone(SecretStore& store, std::string_view subject,
                                                         std::string_view sealed);

}  // namespace cordon::controller
