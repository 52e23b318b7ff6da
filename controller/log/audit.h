#pragma once
// The controller's own log, verified and exported (proto/audit.h has the format and the verification).

#include <functional>
#include <string>
#include <string_view>

#include "controller/log/log_store.h"
#include "proto/audit.h"

namespace cordon::controller {

/// Reads all records and heads from `store`, verifying as an auditor would.
Result<wire::AuditReport> verify_log(LogStore& store, const wire::AuditOptions& options);

/// Gives the export in pieces of whole lines, from revision 1 to the head as it is at the start. `write` may
/// stop it by an error, which is handed on.
Result<> export_log(LogStore& store, const std::function<Result<>(std::string_view lines)>& write);

}  // namespace cordon::controller
