#include "node/agent/renewal.h"

#include "node/link/enrol.h"
#include "proto/cordon.pb.h"

namespace cordon::node {
namespace {

constexpr BootNs kAskAgainNs = 60'000'000'000;

}  // namespace

bool Renewal::due(const Identity& identity) const {
  if (asked_ && clock_.boot_ns() - *asked_ < kAskAgainNs) return false;
  const auto certificate = crypto::parse_certificate(identity.certificate_pem);
  if (!certificate) return false;
  return clock_.now() >= certificate->not_before + (certificate->not_after - certificate->not_before) / 2;
}

Result<> Renewal::ask(const Identity& identity, wire::RenewRequest& request) {
  CORDON_ASSIGN(*request.mutable_csr_pem(), crypto::make_csr(key_, identity.device.value));
  request.set_request(++request_);
  asked_ = clock_.boot_ns();
  return {};
}

Result<> Renewal::take(const wire::RenewAnswer& answer, Identity& identity) {
  if (!answer.reason().empty())
    return fail(ErrorCode::forbidden, "the controller refused: " + answer.reason());
  Identity renewed = identity;
  renewed.certificate_pem = answer.certificate_pem();
  if (!answer.trust_bundle_pem().empty()) renewed.trust_pem = answer.trust_bundle_pem();
  CORDON_TRY(
      check_certificate(renewed.certificate_pem, renewed.trust_pem, key_, identity.device, clock_.now()));
  CORDON_TRY(store_.save(renewed));
  identity = std::move(renewed);
  asked_.reset();
  return {};
}

}  // namespace cordon::node
