#pragma once
// Why may or may not somebody reach something: the decision with its reasons, for the session that is open or
// for the one that a login would give.

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "policy/evaluate.h"
#include "policy/world.h"

namespace cordon::policy {

struct ExplainQuestion {
  SubjectId user;  ///< "": the machine itself
  DeviceId device;
  std::string to;  ///< as in a rule: "settlement/ledger", "settlement/*", "settlement tcp/22"
  Assurance assurance = Assurance::aal2;  ///< of the login that is imagined when no session is open
};

struct Explanation {
  std::string who;                    ///< "trader@acme.example on trader-laptop", "machine web-1"
  std::optional<SessionId> session;   ///< the open one that was asked about
  std::optional<Assurance> imagined;  ///< there is none: a login at this level, just now
  struct Answer {
    DeviceId target;
    std::size_t alike = 1;  ///< devices of the segment of which the same is true, this one included
    bool imagined = false;  ///< the segment has no device: a plain member
    std::string what;       ///< "settlement/ledger tcp/5432"
    Query query;
    Decision decision;
  };
  std::vector<Answer> answers;  ///< one a port asked for and kind of device
  std::size_t left_out = 0;     ///< answers beyond the limit
};

/// Fails when there is no such user, device, segment or service, and when `to` is malformed.
Result<Explanation> explain(const World& world, const ExplainQuestion& question, Timestamp now);

/// One line an answer, and below it, indented, what stood in the way.
std::vector<std::string> lines_of(const Explanation& explanation);

}  // namespace cordon::policy
