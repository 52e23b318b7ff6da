#pragma once
// A change that somebody asks for, and the record it becomes (proto/log_record.h).

#include <memory>
#include <string>

#include "proto/log_record.h"

namespace cordon::policy {
struct Policy;
}

namespace cordon::controller {

/// A change that somebody asks for; becomes a Record when it is committed.
struct Proposal {
  std::string actor;  ///< "root@local", "operator:NAME", "device:ID", "controller"
  std::string kind;   ///< controller/world/kinds.h lists them
  std::uint32_t version = 1;
  std::string payload;  ///< canonical JSON: keys sorted, no spaces, integers only
  /// Of a "policy applied": what its text was parsed to, aside; null: it is parsed when it is checked.
  std::shared_ptr<const policy::Policy> parsed = nullptr;
};

using Record = wire::LogRecord;
using SignedHead = wire::LogHead;
using wire::hash_of;
using wire::verify_chain;

}  // namespace cordon::controller
