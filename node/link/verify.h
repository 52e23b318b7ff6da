#pragma once
// Who a controller is: its chain leads to our roots, and its name is spiffe://DOMAIN/controller/*.

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/result.h"
#include "base/time.h"

namespace cordon::node {

/// Checks that the first certificate in `chain_pem` leads through the others to one of `roots_pem` at `now`
/// (RFC 5280), and gives the first. At most 8 certificates are looked at.
Result<crypto::CertificateInfo> verify_chain(std::string_view chain_pem, std::string_view roots_pem,
                                             Timestamp now);

/// "acme.example" of "spiffe://acme.example/KIND/..." among the certificate's URIs; empty when there is none.
std::string trust_domain(const crypto::CertificateInfo& certificate, std::string_view kind);

/// `forbidden` unless `certificate` names a controller of `domain`.
Result<> require_controller(const crypto::CertificateInfo& certificate, std::string_view domain);

/// The root (PEM) of a presented chain (DER, leaf first) whose SHA-256 is `fingerprint`, after checking that
/// the leaf is a controller and leads to it. Else `unauthorized`, with the mend.
Result<std::string> pinned_root(const std::vector<Bytes>& chain_der, const Sha256& fingerprint,
                                Timestamp now);

}  // namespace cordon::node
