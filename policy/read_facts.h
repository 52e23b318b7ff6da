#pragma once
// The fields of devices and sessions, as facts files and a policy's own tests give them.

#include <string>

#include "policy/facts.h"
#include "policy/reader.h"

namespace cordon::policy {

/// A device: id, tags, ownership, checks, attestation, source, country, isolated, addresses. What the table
/// doesn't give stays as it is in `device`; unknown keys and wrong values are reported. Empty lists mean what
/// they say here: `checks = []` is a device that reports and fails them all.
void read_device(Reader& reader, const TomlNode& table, Device& device);

/// A session: id, user, claims, device, assurance, authenticated_at, ends_at, signals, addresses.
/// Session::user is made of the user's name, which `user` also gets; Session::device of the device's id.
void read_session(Reader& reader, const TomlNode& table, Session& session, std::string& user);

/// One of the fields above but `device`; false when it is none of them.
bool read_session_field(Reader& reader, const TomlEntry& entry, Session& session, std::string& user);

}  // namespace cordon::policy
