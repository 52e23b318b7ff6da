#include "node/agent/identity.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>

#include "base/files.h"

namespace cordon::node {
namespace {

constexpr std::size_t kMaxSecretBytes = 64u << 10;
constexpr std::size_t kMaxPemBytes = 1u << 20;

std::filesystem::path device_key(const std::filesystem::path& directory) {
  return directory / "device.key";
}
std::filesystem::path wireguard_key(const std::filesystem::path& directory) {
  return directory / "wireguard.key";
}
std::filesystem::path next_wireguard_key(const std::filesystem::path& directory) {
  return directory / "wireguard.next.key";
}
std::filesystem::path certificate(const std::filesystem::path& directory) {
  return directory / "certificate.pem";
}
std::filesystem::path trust_file(const std::filesystem::path& directory) {
  return directory / "trust.pem";
}
std::filesystem::path facts(const std::filesystem::path& directory) {
  return directory / "identity.json";
}

Result<WireguardKey> parse_wireguard_key(std::string text, const std::filesystem::path& path) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  auto bytes = from_base64(text);
  WireguardKey key{};
  if (!bytes || bytes->size() != key.size())
    return fail(ErrorCode::invalid, path.string() + " holds no WireGuard key",
                "restore it, or remove it and enrol again");
  std::ranges::copy(*bytes, key.begin());
  return key;
}

Result<Timestamp> modified_at(const std::filesystem::path& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return fail_errno("can't look at " + path.string(), errno);
  return from_us(info.st_mtim.tv_sec * 1'000'000 + info.st_mtim.tv_nsec / 1'000);
}

Result<bool> is_there(const std::filesystem::path& path) {
  std::error_code ec;
  const bool there = std::filesystem::exists(path, ec);
  if (ec) return fail_errno("can't look at " + path.string(), ec.value());
  return there;
}

}  // namespace

Result<std::string> read_secret_file(const std::filesystem::path& path, std::size_t limit) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return fail_errno("can't read " + path.string(), errno);
  if (!S_ISREG(info.st_mode))
    return fail(ErrorCode::forbidden, path.string() + " is no regular file",
                "put the secret itself there, not a link");
  if ((info.st_mode & 077) != 0)
    return fail(
        ErrorCode::forbidden,
        fmt::format("{} may be read by others (mode {:04o})", path.string(), info.st_mode & 07777),
        fmt::format("run: chmod 600 {}; if others had access, enrol again with new keys", path.string()));
  if (info.st_uid != ::geteuid())
    return fail(ErrorCode::forbidden,
                fmt::format("{} belongs to uid {}, not to us", path.string(), info.st_uid),
                fmt::format("run: chown {} {}", ::geteuid(), path.string()));
  return read_file(path, limit);
}

Result<Keys> IdentityStore::load_keys() const {
  CORDON_ASSIGN(const auto pem, read_secret_file(device_key(directory_)));
  auto device = crypto::PrivateKey::from_pem(pem);
  if (!device)
    return std::unexpected(in_context(device.error(), "reading " + device_key(directory_).string()));
  CORDON_ASSIGN(auto text, read_secret_file(wireguard_key(directory_)));
  CORDON_ASSIGN(const auto wireguard, parse_wireguard_key(std::move(text), wireguard_key(directory_)));
  CORDON_ASSIGN(const auto since, modified_at(wireguard_key(directory_)));
  Keys keys{.device = std::move(*device), .wireguard = wireguard, .wireguard_since = since};
  const auto next_path = next_wireguard_key(directory_);
  CORDON_ASSIGN(const bool has_next, is_there(next_path));
  if (!has_next) return keys;
  CORDON_ASSIGN(auto next_text, read_secret_file(next_path));
  CORDON_ASSIGN(const auto next, parse_wireguard_key(std::move(next_text), next_path));
  keys.half_turned = next == wireguard;
  if (!keys.half_turned) keys.next_wireguard = next;
  return keys;
}

Result<> IdentityStore::keep_next_key(const WireguardKey& key) const {
  return write_file(next_wireguard_key(directory_), to_base64(key) + "\n", 0600);
}

Result<> IdentityStore::turn_to_key(const WireguardKey& key) const {
  return write_file(wireguard_key(directory_), to_base64(key) + "\n", 0600);
}

Result<> IdentityStore::forget_next_key() const {
  std::error_code ec;
  std::filesystem::remove(next_wireguard_key(directory_), ec);
  if (ec) return fail_errno("can't remove " + next_wireguard_key(directory_).string(), ec.value());
  return {};
}

Result<Keys> IdentityStore::load_or_make_keys() const {
  CORDON_ASSIGN(const bool has_device, is_there(device_key(directory_)));
  if (!has_device) {
    CORDON_ASSIGN(const auto key, crypto::PrivateKey::generate());
    CORDON_TRY(write_file(device_key(directory_), key.to_pem(), 0600));
  }
  CORDON_ASSIGN(const bool has_wireguard, is_there(wireguard_key(directory_)));
  if (!has_wireguard) {
    CORDON_TRY(write_file(wireguard_key(directory_), to_base64(crypto::wireguard_generate()) + "\n", 0600));
  }
  return load_keys();
}

Result<std::optional<Identity>> IdentityStore::load() const {
  CORDON_ASSIGN(const bool there, is_there(facts(directory_)));
  if (!there) return std::nullopt;
  CORDON_ASSIGN(const auto text, read_file(facts(directory_), kMaxSecretBytes));
  boost::system::error_code ec;
  const auto json = boost::json::parse(text, ec);
  const auto* object = ec ? nullptr : json.if_object();
  const auto* device = object ? object->if_contains("device") : nullptr;
  const auto* pending = object ? object->if_contains("pending") : nullptr;
  if (!device || !device->is_string() || !pending || !pending->is_bool())
    return fail(ErrorCode::invalid, facts(directory_).string() + " is damaged",
                "restore it, or remove it and enrol again");
  Identity identity;
  identity.device = DeviceId{std::string(device->get_string())};
  identity.pending = pending->get_bool();
  CORDON_ASSIGN(identity.trust_pem, read_file(trust_file(directory_), kMaxPemBytes));
  if (!identity.pending) {
    CORDON_ASSIGN(identity.certificate_pem, read_file(certificate(directory_), kMaxPemBytes));
  }
  return identity;
}

Result<> IdentityStore::save(const Identity& identity) const {
  // identity.json last: it says that the others are there.
  CORDON_TRY(write_file(trust_file(directory_), identity.trust_pem, 0644));
  if (!identity.pending) {
    CORDON_TRY(write_file(certificate(directory_), identity.certificate_pem, 0644));
  }
  boost::json::object object;
  object["device"] = identity.device.value;
  object["pending"] = identity.pending;
  return write_file(facts(directory_), boost::json::serialize(object) + "\n", 0644);
}

}  // namespace cordon::node
