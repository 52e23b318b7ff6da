#pragma once
// Values with a unit or of a known set, as keys of a policy and of facts give them. Each is nothing after an
// error was reported.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "policy/facts.h"
#include "policy/reader.h"

namespace cordon::policy {

/// RFC 3339 text with an offset.
std::optional<Timestamp> read_time(Reader& reader, const TomlEntry& entry);

/// "90s", "15m", "8h", "30d"; within the bounds, both in.
std::optional<Seconds> read_duration(Reader& reader, const TomlEntry& entry, Seconds least, Seconds most);

/// A whole number within the bounds, both in.
std::optional<int> read_number(Reader& reader, const TomlEntry& entry, int least, int most);

/// 0.0 to 1.0 as that many parts: 10 for tenths, 100 for hundredths. Steps between are refused, never rounded
/// (P4).
std::optional<int> read_fraction(Reader& reader, const TomlEntry& entry, int parts);

std::optional<Assurance> read_assurance(Reader& reader, const TomlEntry& entry);
std::optional<Attestation> read_attestation(Reader& reader, const TomlEntry& entry);
std::optional<Ownership> read_ownership(Reader& reader, const TomlEntry& entry);

/// A list of text as a set; an empty one is refused unless it means something.
std::set<std::string> read_names(Reader& reader, const TomlEntry& entry, Empty empty = Empty::refused);

}  // namespace cordon::policy
