#pragma once
// The first contact: a join token names the controller's root by fingerprint, and nothing secret is sent
// before the other side has proved that it leads to that root.

#include <chrono>
#include <filesystem>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/time.h"
#include "node/agent/identity.h"
#include "proto/join_token.h"

namespace cordon::node {

struct EnrolRequestFacts {
  std::vector<Endpoint> controllers;  ///< tried in order
  std::string name;
  std::string platform;
  std::chrono::milliseconds limit{15'000};  ///< for each controller
};

/// Enrols with `token`: makes the keys, pins, asks, checks what came back, and stores it. The identity may be
/// pending. `conflict` when this machine is enrolled already.
Result<Identity> enrol(const EnrolRequestFacts& facts, const wire::JoinTokenText& token,
                       const IdentityStore& store, const Clock& clock);

/// A pending device and how long to wait before the next question, or an enrolled one.
struct PollAnswer {
  Identity identity;
  Seconds ask_again{10};
};
Result<PollAnswer> poll_enrolment(const EnrolRequestFacts& facts, const IdentityStore& store,
                                  const Clock& clock);

/// A join token from a file that only its owner may read, or from standard input when `path` is "-".
Result<wire::JoinTokenText> read_join_token(const std::filesystem::path& path);

/// Checks a certificate that a controller gave us: it is for our key, names `device` (any when empty), leads
/// to the roots. Gives the device it names.
Result<DeviceId> check_certificate(std::string_view chain_pem, std::string_view roots_pem,
                                   const crypto::PrivateKey& key, const DeviceId& device, Timestamp now);

}  // namespace cordon::node
