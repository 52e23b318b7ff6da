#pragma once
// Policies as requests bring them: files, parsed aside, with every diagnostic in the answer.

#include <boost/json/array.hpp>
#include <memory>

#include "base/files.h"
#include "controller/api/route.h"
#include "policy/parse.h"

namespace cordon::controller::api {

/// `files` of a body.
Field files_field();
/// The files of a call, by name; names are plain relative paths, each once.
Result<std::vector<SourceFile>> files_of(const Call& call);

/// Files and what came of them.
struct PolicyInput {
  std::vector<SourceFile> files;
  policy::ParseResult parsed;  ///< with failed tests among the diagnostics
  std::size_t tests = 0;       ///< of the policy's own
  std::size_t tests_failed = 0;
  bool ok() const { return parsed.ok() && tests_failed == 0; }
};

/// Parses, and asks the policy's own tests, on the pool (it may take a while); gives the result on the
/// strand.
void parse_aside(Services& services, std::vector<SourceFile> files, std::function<void(PolicyInput)> then);

/// 422 with every diagnostic.
Reply refused(const PolicyInput& input);

boost::json::array views(const std::vector<policy::Diagnostic>& diagnostics);

}  // namespace cordon::controller::api
