#pragma once
// TOML text to Policy. Pure: files are read elsewhere and passed in.

#include <vector>

#include "base/files.h"
#include "base/time_zone.h"
#include "policy/diagnostic.h"
#include "policy/model.h"

namespace cordon::policy {

struct ParseResult {
  PolicyPtr policy;                     ///< null when there is any error
  std::vector<Diagnostic> diagnostics;  ///< by file, line, column
  bool ok() const { return policy != nullptr; }
};

/// Merges the files and checks every name, type and value. One syntax error a file, every error of meaning in
/// all files. Never throws; work and memory are bounded by the text's size.
/// `zones` tells which time zones there are. A text that a release accepted stays accepted: a controller's
/// start reads every policy of its log again. What else is to be refused is refused beside this
/// (bound_tests.h).
ParseResult parse(const std::vector<SourceFile>& files, const TimeZones& zones);

}  // namespace cordon::policy
