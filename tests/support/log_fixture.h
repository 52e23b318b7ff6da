#pragma once
// What tests of the change log share: a certificate authority, a clock, histories of records.

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/crypto.h"
#include "controller/log/record.h"
#include "controller/world/apply.h"
#include "controller/world/kinds.h"
#include "proto/receipt.h"

namespace cordon::test {

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message());
  return std::move(*result);
}
inline void must(Result<> result) {
  if (!result) throw std::runtime_error(result.error().message());
}

inline const Timestamp kStart = from_us(1'800'000'000'000'000);

class ManualClock final : public Clock {
 public:
  Timestamp now() const override { return from_us(now_us_); }
  BootNs boot_ns() const override { return boot_ns_; }
  void advance(std::chrono::microseconds by) {
    now_us_ += by.count();
    boot_ns_ += static_cast<BootNs>(by.count()) * 1000;
  }

 private:
  std::atomic<std::int64_t> now_us_{to_us(kStart)};
  std::atomic<BootNs> boot_ns_{1'000'000'000};
};

/// A root, an intermediate and a controller's certificate, as the controller has them.
struct TestAuthority {
  crypto::PrivateKey root_key = must(crypto::PrivateKey::generate());
  crypto::PrivateKey middle_key = must(crypto::PrivateKey::generate());
  crypto::PrivateKey key = must(crypto::PrivateKey::generate());
  std::string root_pem, middle_pem, chain_pem;

  TestAuthority() {
    const auto from = kStart - std::chrono::hours(1), until = kStart + std::chrono::hours(24 * 365);
    root_pem = must(crypto::issue(root_key, ca("root", 1, from, until), root_key, ""));
    middle_pem = must(crypto::issue(middle_key, ca("intermediate", 0, from, until), root_key, root_pem));
    chain_pem = leaf(key, "spiffe://acme.example/controller/c1", true) + middle_pem;
  }
  std::string leaf(const crypto::PrivateKey& subject, const std::string& uri, bool server,
                   Timestamp until = kStart + std::chrono::hours(24 * 90)) const {
    const crypto::CertificateSpec spec{.common_name = "leaf",
                                       .uris = {uri},
                                       .not_before = kStart - std::chrono::hours(1),
                                       .not_after = until,
                                       .server_auth = server,
                                       .client_auth = true};
    return must(crypto::issue(subject, spec, middle_key, middle_pem));
  }
  controller::SignedHead sign(Revision revision, const Sha256& hash) const {
    return {.revision = revision,
            .hash = hash,
            .signature = key.sign(wire::head_text(revision, hash)),
            .signer_pem = chain_pem};
  }
  controller::SignedHead sign(const controller::Record& record) const {
    return sign(record.revision, record.hash);
  }

 private:
  static crypto::CertificateSpec ca(std::string name, int length, Timestamp from, Timestamp until) {
    return {.common_name = std::move(name),
            .not_before = from,
            .not_after = until,
            .is_ca = true,
            .path_length = length};
  }
};

/// Names are sealed as themselves.
inline std::optional<std::string> plain_name(const SubjectId&, std::string_view sealed) {
  return std::string(sealed);
}

inline controller::Record next_record(const policy::World& world, const controller::Proposal& proposal,
                                      Timestamp at) {
  controller::Record record{.revision = Revision(world.revision.value + 1),
                            .at = at,
                            .actor = proposal.actor,
                            .kind = proposal.kind,
                            .version = proposal.version,
                            .payload = proposal.payload,
                            .previous = world.head};
  record.hash = controller::hash_of(record);
  return record;
}

/// A world and the records that made it.
struct History {
  policy::World world;
  std::vector<controller::Record> records;
  Timestamp now = kStart;

  /// Checks, records and folds; what `check` says no to throws.
  const controller::Record& add(const controller::kinds::Kind& kind,
                                std::chrono::microseconds after = Seconds(1)) {
    must(try_add(kind, after));
    return records.back();
  }
  Result<> try_add(const controller::kinds::Kind& kind, std::chrono::microseconds after = Seconds(1)) {
    const auto at = now + after;
    const auto proposal = controller::kinds::encode("root@local", kind);
    CORDON_TRY(controller::check(world, proposal, at, system_time_zones()));
    auto record = next_record(world, proposal, at);
    CORDON_TRY(controller::apply(world, record, plain_name, system_time_zones()));
    now = at;
    records.push_back(std::move(record));
    return {};
  }
};

inline controller::kinds::InstallationCreated installation(const std::string& v4 = "100.64.0.0/10") {
  return {{.trust_domain = "acme.example",
           .overlay_v4 = must(Prefix::parse(v4)),
           .overlay_v6 = must(Prefix::parse("fd12:3456:789a::/48")),
           .node_lease = Seconds(900)}};
}

inline controller::kinds::JoinTokenCreated join_token(const std::string& id, std::uint32_t uses = 100,
                                                      bool approve = true) {
  policy::JoinToken token{.id = TokenId(id),
                          .tags = {"web"},
                          .ownership = policy::Ownership::company,
                          .uses_left = uses,
                          .expires_at = kStart + std::chrono::hours(24 * 30),
                          .approve = approve};
  if (approve) token.source = must(Prefix::parse("192.0.2.0/24"));
  return {token};
}

inline controller::kinds::DeviceEnrolled enrolled(const std::string& device, const std::string& token,
                                                  unsigned seed) {
  controller::kinds::DeviceEnrolled k{
      .device = DeviceId(device), .token = TokenId(token), .platform = "Debian 12"};
  put_u32(k.public_key_der, seed);
  k.wireguard_key[0] = 1;
  k.wireguard_key[1] = static_cast<std::uint8_t>(seed);
  k.wireguard_key[2] = static_cast<std::uint8_t>(seed >> 8);
  return k;
}

inline controller::kinds::UserAdded user(const std::string& id, const std::string& name) {
  return {.user = SubjectId(id), .issuer = "local", .sealed_name = name};
}

inline controller::kinds::SessionOpened session(const std::string& id, const std::string& user,
                                                const std::string& device, std::uint32_t uid,
                                                Timestamp ends_at) {
  return {{.id = SessionId(id),
           .user = SubjectId(user),
           .device = DeviceId(device),
           .assurance = policy::Assurance::aal2,
           .claims = {},
           .authenticated_at = kStart,
           .ends_at = ends_at,
           .uid = uid,
           .addresses = {}}};
}

}  // namespace cordon::test
