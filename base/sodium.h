#pragma once
// For base's own sources: libsodium made ready, once and from any thread.

namespace cordon {

/// Ends the process when the system has no source of randomness: nothing of ours could be trusted then.
void ensure_sodium();

}  // namespace cordon
