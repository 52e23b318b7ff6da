// Secrets in a SQLite file of their own, each sealed under the data key with its name as associated data, so
// that one can't be put in another's place.
#include "controller/secrets/secret_store.h"

#include <fmt/format.h>

#include <mutex>

#include "base/log.h"
#include "controller/log/sqlite.h"
#include "controller/secrets/data_key.h"
#include "controller/secrets/seal.h"

namespace cordon::controller {

namespace {

constexpr const char* kSecretSchema =
    "CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT";

// Sealed at the first start and opened at every later one: tells a wrong key before anything is read or
// written.
constexpr std::string_view kProofName = "proof of the data key";
constexpr std::string_view kProofText = "cordon secrets 1";

class SqliteSecretStore final : public SecretStore {
 public:
  SqliteSecretStore(Sqlite db, Bytes key) : db_(std::move(db)), key_(std::move(key)) {}

  Result<> prepare() {
    CORDON_TRY(db_.execute(kSecretSchema));
    // What is erased is overwritten: destroying a key is how a person is erased.
    CORDON_TRY(db_.execute("PRAGMA secure_delete=ON"));
    CORDON_ASSIGN(const auto proof, get(kProofName));
    if (!proof) return put(kProofName, as_bytes(kProofText));
    return {};
  }

  Result<std::optional<Bytes>> get(std::string_view name) override {
    const std::lock_guard lock(mutex_);
    CORDON_ASSIGN(auto row, db_.prepare("SELECT sealed FROM secrets WHERE name = ?1"));
    CORDON_ASSIGN(const bool found, row.bind(1, name).step());
    if (!found) return std::nullopt;
    auto opened = open_sealed(key_, row.blob(0), name);
    if (!opened) {
      return fail(ErrorCode::unauthorized,
                  fmt::format("secret \"{}\" can't be opened with this data key", name),
                  "use the data key that this secret store was made with");
    }
    return opened;
  }

  Result<> put(std::string_view name, ByteView secret) override {
    const std::lock_guard lock(mutex_);
    const auto sealed = seal(key_, secret, name);
    CORDON_ASSIGN(auto insert, db_.prepare("INSERT INTO secrets VALUES (?1, ?2) "
                                           "ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed"));
    return insert.bind(1, name).bind(2, ByteView(sealed)).run();
  }

  Result<> erase(std::string_view name) override {
    const std::lock_guard lock(mutex_);
    CORDON_ASSIGN(auto erase, db_.prepare("DELETE FROM secrets WHERE name = ?1"));
    CORDON_TRY(erase.bind(1, name).run());
    if (db_.changes() == 0) return {};
    // Into the file and out of the WAL, so that no old page of it stays; a reader may hold that up, no harm.
    (void)db_.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    return {};
  }

 private:
  std::mutex mutex_;
  Sqlite db_;
  Bytes key_;
};

std::string subject_secret(std::string_view subject) {
  return fmt::format("subject/{}", subject);
}

}  // namespace

Result<std::unique_ptr<SecretStore>> open_secret_store(const std::filesystem::path& database,
                                                       const std::filesystem::path& key_file) {
  // Secrets without their key are lost, not to be covered up by a fresh key.
  std::error_code ignored;
  const bool is_new = !std::filesystem::exists(database, ignored);
  CORDON_ASSIGN(auto key, is_new ? open_data_key(key_file) : read_data_key(key_file));
  CORDON_ASSIGN(auto db, Sqlite::open(database));
  auto store = std::make_unique<SqliteSecretStore>(std::move(db), std::move(key));
  CORDON_TRY(store->prepare());
  return store;
}

Result<std::string> seal_personal(SecretStore& store, std::string_view subject, std::string_view text) {
  const auto name = subject_secret(subject);
  CORDON_ASSIGN(auto key, store.get(name));
  if (!key) {
    key = random_bytes(kSealKeyBytes);
    CORDON_TRY(store.put(name, *key));
  }
  return to_base64(seal(*key, as_bytes(text), name));
}

Result<std::optional<std::string>> open_personal(SecretStore& store, std::string_view subject,
                                                 std::string_view sealed) {
  const auto name = subject_secret(subject);
  CORDON_ASSIGN(const auto key, store.get(name));
  if (!key) return std::nullopt;
  CORDON_ASSIGN(const auto bytes, from_base64(sealed));
  const auto opened = open_sealed(*key, bytes, name);
  if (!opened) return fail(ErrorCode::invalid, "a personal field was sealed with another key");
  return std::string(as_text(*opened));
}

Result<std::optional<std::string>> open_personal_or_gone(SecretStore& store, std::string_view subject,
                                                         std::string_view sealed) {
  auto opened = open_personal(store, subject, sealed);
  if (opened || opened.error().code != ErrorCode::invalid) return opened;
  log::error("controller.secrets", "the name of {} can't be read any more: {}", subject,
             opened.error().message());
  return std::nullopt;
}

}  // namespace cordon::controller
