#pragma once
// How a machine becomes a device: a join token, a name, a key it proves to hold; then, perhaps, an operator's
// word. On the strand.

#include <functional>
#include <memory>

#include "base/address.h"
#include "controller/distribution/limits.h"
#include "controller/log/record.h"
#include "policy/world.h"

namespace cordon::wire {
class EnrolAnswer;
class EnrolPoll;
class EnrolRequest;
class RenewAnswer;
class RenewRequest;
}  // namespace cordon::wire

namespace cordon::controller {

struct Services;

class Enrolment : public std::enable_shared_from_this<Enrolment> {
 public:
  using Done = std::function<void(wire::EnrolAnswer)>;
  using RenewDone = std::function<void(wire::RenewAnswer)>;
  Enrolment(Services& services, const DistributionLimits& limits);

  /// False: `source` asks too often. Whatever is wrong with a token, the answer is the same.
  bool allowed(const Address& source);
  void enrol(const wire::EnrolRequest& request, const Address& source, Done done);
  /// Asks, signed with the device's key, whether a pending device has been approved.
  void poll(const wire::EnrolPoll& poll, const Address& source, Done done);
  /// The device has connected with its certificate, or is gone: from now on only a session renews it.
  void forget_request(const DeviceId& device);
  /// A new certificate for the same key; the device proved itself by mTLS.
  void renew(const DeviceId& device, const wire::RenewRequest& request, RenewDone done);

 private:
  void refuse(const Address& source, std::string_view why, const Error& error, const Done& done);
  Result<> check_token(const wire::EnrolRequest& request, const Address& source) const;
  void answer(const policy::Device& device, Done done);
  void issue(const policy::Device& device, std::string_view csr_pem,
             std::function<void(Result<std::string>)> done);

  Services& services_;
  const DistributionLimits& limits_;
  RateLimiter by_source_;
  RateLimiter renewals_;
};

}  // namespace cordon::controller
