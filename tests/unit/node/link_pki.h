#pragma once
// A certificate authority for tests: root, intermediate, a controller's certificate, device certificates.

#include <string>

#include "base/crypto.h"
#include "base/time.h"
#include "proto/codec.h"
#include "proto/cordon.pb.h"
#include "proto/receipt.h"

namespace cordon::node::test {

struct Pki {
  explicit Pki(Timestamp at = system_clock().now(), std::string domain_name = "acme.example")
      : domain(std::move(domain_name)), now(at) {
    crypto::CertificateSpec ca;
    ca.common_name = "root";
    ca.is_ca = true;
    ca.path_length = 1;
    ca.not_before = now - std::chrono::hours(1);
    ca.not_after = now + std::chrono::hours(1000);
    root_pem = crypto::issue(root_key, ca, root_key, "").value();
    ca.common_name = "intermediate";
    ca.path_length = 0;
    intermediate_pem = crypto::issue(intermediate_key, ca, root_key, root_pem).value();
    crypto::CertificateSpec server;
    server.common_name = "controller-1";
    server.uris = {"spiffe://" + domain + "/controller/controller-1"};
    server.not_before = ca.not_before;
    server.not_after = now + std::chrono::hours(100);
    server.server_auth = true;
    server_pem = crypto::issue(server_key, server, intermediate_key, intermediate_pem).value();
  }

  std::string chain() const { return server_pem + intermediate_pem + root_pem; }
  Sha256 fingerprint() const { return crypto::parse_certificate(root_pem)->fingerprint; }

  std::string device(std::string_view csr, const std::string& name,
                     std::chrono::hours life = std::chrono::hours(24),
                     std::chrono::hours age = std::chrono::hours(0)) const {
    crypto::CertificateSpec spec;
    spec.common_name = name;
    spec.uris = {"spiffe://" + domain + "/device/" + name};
    spec.not_before = now - age - std::chrono::minutes(1);
    spec.not_after = now - age + life;
    spec.client_auth = true;
    return crypto::issue_from_csr(csr, spec, intermediate_key, intermediate_pem).value() + intermediate_pem;
  }

  wire::SignedHead head(std::uint64_t revision, std::uint8_t history = 0) const {
    Sha256 hash{};
    hash.fill(static_cast<std::uint8_t>(revision * 7 + history));
    const Bytes signature = server_key.sign(wire::head_text(Revision{revision}, hash));
    wire::SignedHead out;
    out.set_revision(revision);
    out.set_hash(hash.data(), hash.size());
    out.set_signature(signature.data(), signature.size());
    out.set_signer_pem(server_pem + intermediate_pem);
    return out;
  }

  wire::Controllers controllers(const std::vector<Endpoint>& endpoints) const {
    wire::Controllers out;
    for (const Endpoint& endpoint : endpoints) wire::encode_endpoint(endpoint, out.add_endpoints());
    out.set_at_us(to_us(now));
    const Bytes signature = server_key.sign(wire::controllers_text(from_us(to_us(now)), endpoints));
    out.set_signature(signature.data(), signature.size());
    out.set_signer_pem(server_pem + intermediate_pem);
    return out;
  }

  std::string domain;
  Timestamp now;
  crypto::PrivateKey root_key = crypto::PrivateKey::generate().value();
  crypto::PrivateKey intermediate_key = crypto::PrivateKey::generate().value();
  crypto::PrivateKey server_key = crypto::PrivateKey::generate().value();
  std::string root_pem, intermediate_pem, server_pem;
};

}  // namespace cordon::node::test
