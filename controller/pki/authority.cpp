#include "controller/pki/authority.h"

#include <fmt/format.h>

#include <chrono>

namespace cordon::controller {

namespace {

using namespace std::chrono_literals;

constexpr auto kRootLife = std::chrono::days{3650};
constexpr auto kIntermediateLife = std::chrono::days{365};
constexpr auto kServerLife = std::chrono::days{90};
// Clocks of devices may be a little behind.
constexpr auto kBackdate = 5min;
constexpr std::string_view kCertificateMark = "-----BEGIN CERTIFICATE-----";

constexpr std::string_view kRootName = "pki/root";
constexpr std::string_view kIntermediateName = "pki/intermediate";
constexpr std::string_view kServerName = "pki/server";
constexpr std::string_view kServerSubjects = "pki/server-subjects";

/// A key and its certificate; stored as one value, so that a crash never leaves one without the other.
struct KeptIdentity {
  crypto::PrivateKey key;
  std::string certificate_pem;
  crypto::CertificateInfo info;
};

Result<KeptIdentity> make(crypto::PrivateKey key, std::string certificate_pem) {
  CORDON_ASSIGN(crypto::CertificateInfo info, crypto::parse_certificate(certificate_pem));
  return KeptIdentity{std::move(key), std::move(certificate_pem), std::move(info)};
}

Result<std::optional<KeptIdentity>> load(SecretStore& secrets, std::string_view name) {
  CORDON_ASSIGN(const std::optional<Bytes> stored, secrets.get(name));
  if (!stored) return std::nullopt;
  const std::string_view text = as_text(*stored);
  const auto mark = text.find(kCertificateMark);
  if (mark == std::string_view::npos) {
    return fail(ErrorCode::internal, fmt::format("the stored identity \"{}\" has no certificate", name));
  }
  CORDON_ASSIGN(crypto::PrivateKey key, crypto::PrivateKey::from_pem(text.substr(0, mark)));
  CORDON_ASSIGN(KeptIdentity identity, make(std::move(key), std::string(text.substr(mark))));
  return identity;
}

Result<> save(SecretStore& secrets, std::string_view name, const KeptIdentity& identity) {
  return secrets.put(name, as_bytes(identity.key.to_pem() + identity.certificate_pem));
}

bool past_half(const crypto::CertificateInfo& info, Timestamp now) {
  return now >= info.not_before + (info.not_after - info.not_before) / 2;
}

class StoredAuthority final : public Authority {
 public:
  StoredAuthority(AuthorityConfig config, SecretStore& secrets, KeptIdentity root, KeptIdentity intermediate,
                  KeptIdentity server)
      : config_(std::move(config)),
        secrets_(secrets),
        root_(std::move(root)),
        intermediate_(std::move(intermediate)),
        server_(std::move(server)) {
    chain_ = server_.certificate_pem + intermediate_.certificate_pem;
  }

  const std::string& trust_bundle_pem() const override { return root_.certificate_pem; }
  const Sha256& root_fingerprint() const override { return root_.info.fingerprint; }
  const std::string& server_chain_pem() const override { return chain_; }
  const crypto::PrivateKey& server_key() const override { return server_.key; }
  Result<std::string> issue_device(std::string_view csr_pem, const DeviceId& device, Timestamp now) override;
  Result<bool> renew_server(Timestamp now) override;

 private:
  AuthorityConfig config_;
  SecretStore& secrets_;
  KeptIdentity root_, intermediate_, server_;
  std::string chain_;
};

Result<KeptIdentity> make_root(const AuthorityConfig& config, SecretStore& secrets, Timestamp now) {
  CORDON_ASSIGN(crypto::PrivateKey key, crypto::PrivateKey::generate());
  const crypto::CertificateSpec spec{.common_name = config.trust_domain + " root",
                                     .not_before = now - kBackdate,
                                     .not_after = now + kRootLife,
                                     .is_ca = true,
                                     .path_length = 1};
  CORDON_ASSIGN(std::string pem, crypto::issue(key, spec, key, ""));
  CORDON_ASSIGN(KeptIdentity root, make(std::move(key), std::move(pem)));
  CORDON_TRY(save(secrets, kRootName, root));
  return root;
}

/// A certificate for `key`, so that a renewed intermediate still stands above what its key signed before.
Result<KeptIdentity> make_intermediate(const AuthorityConfig& config, SecretStore& secrets,
                                       const KeptIdentity& root, crypto::PrivateKey key, Timestamp now) {
  const crypto::CertificateSpec spec{
      .common_name = fmt::format("{} {} intermediate", config.trust_domain, config.controller_name),
      .not_before = now - kBackdate,
      .not_after = std::min<Timestamp>(now + kIntermediateLife, root.info.not_after),
      .is_ca = true,
      .path_length = 0};
  CORDON_ASSIGN(std::string pem, crypto::issue(key, spec, root.key, root.certificate_pem));
  CORDON_ASSIGN(KeptIdentity intermediate, make(std::move(key), std::move(pem)));
  CORDON_TRY(save(secrets, kIntermediateName, intermediate));
  return intermediate;
}

/// All that a server certificate says of its holder; a change of the configuration makes a new one.
std::string subjects_of(const AuthorityConfig& config) {
  std::string text = config.trust_domain + "\n" + config.controller_name + "\n";
  for (const std::string& name : config.dns_names) text += "dns " + name + "\n";
  for (const std::string& address : config.ip_addresses) text += "ip " + address + "\n";
  return text;
}

Result<KeptIdentity> make_server(const AuthorityConfig& config, SecretStore& secrets,
                                 const KeptIdentity& intermediate, Timestamp now) {
  CORDON_ASSIGN(crypto::PrivateKey key, crypto::PrivateKey::generate());
  const crypto::CertificateSpec spec{
      .common_name = config.controller_name,
      .uris = {fmt::format("spiffe://{}/controller/{}", config.trust_domain, config.controller_name)},
      .dns_names = config.dns_names,
      .ip_addresses = config.ip_addresses,
      .not_before = now - kBackdate,
      .not_after = std::min<Timestamp>(now + kServerLife, intermediate.info.not_after),
      .server_auth = true,
      .client_auth = true};
  CORDON_ASSIGN(std::string pem, crypto::issue(key, spec, intermediate.key, intermediate.certificate_pem));
  CORDON_ASSIGN(KeptIdentity server, make(std::move(key), std::move(pem)));
  CORDON_TRY(save(secrets, kServerName, server));
  CORDON_TRY(secrets.put(kServerSubjects, as_bytes(subjects_of(config))));
  return server;
}

Result<std::string> StoredAuthority::issue_device(std::string_view csr_pem, const DeviceId& device,
                                                  Timestamp now) {
  const crypto::CertificateSpec spec{
      .common_name = device.value,
      .uris = {fmt::format("spiffe://{}/device/{}", config_.trust_domain, device.value)},
      .not_before = now - kBackdate,
      .not_after = std::min<Timestamp>(now + kDeviceCertificateLife, intermediate_.info.not_after),
      .client_auth = true};
  CORDON_ASSIGN(const std::string leaf,
                crypto::issue_from_csr(csr_pem, spec, intermediate_.key, intermediate_.certificate_pem));
  return leaf + intermediate_.certificate_pem;
}

Result<bool> StoredAuthority::renew_server(Timestamp now) {
  const bool renew_intermediate = past_half(intermediate_.info, now);
  if (!renew_intermediate && !past_half(server_.info, now)) return false;
  if (renew_intermediate) {
    CORDON_ASSIGN(intermediate_, make_intermediate(config_, secrets_, root_, intermediate_.key, now));
  }
  CORDON_ASSIGN(server_, make_server(config_, secrets_, intermediate_, now));
  chain_ = server_.certificate_pem + intermediate_.certificate_pem;
  return true;
}

}  // namespace

Result<std::unique_ptr<Authority>> open_authority(const AuthorityConfig& config, SecretStore& secrets,
                                                  Timestamp now) {
  CORDON_ASSIGN(std::optional<KeptIdentity> root, load(secrets, kRootName));
  if (!root) {
    CORDON_ASSIGN(root, make_root(config, secrets, now));
  }
  CORDON_ASSIGN(std::optional<KeptIdentity> intermediate, load(secrets, kIntermediateName));
  if (!intermediate) {
    CORDON_ASSIGN(crypto::PrivateKey key, crypto::PrivateKey::generate());
    CORDON_ASSIGN(intermediate, make_intermediate(config, secrets, *root, std::move(key), now));
  }
  CORDON_ASSIGN(std::optional<KeptIdentity> server, load(secrets, kServerName));
  CORDON_ASSIGN(const std::optional<Bytes> subjects, secrets.get(kServerSubjects));
  if (!server || !subjects || as_text(*subjects) != subjects_of(config)) {
    CORDON_ASSIGN(server, make_server(config, secrets, *intermediate, now));
  }
  auto authority = std::make_unique<StoredAuthority>(config, secrets, std::move(*root),
                                                     std::move(*intermediate), std::move(*server));
  CORDON_TRY(authority->renew_server(now));
  return authority;
}

}  // namespace cordon::controller
