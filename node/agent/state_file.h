#pragma once
// The last good state on disk (0600), so that a node that starts without a controller can say what it
// enforces and set its tunnel up again. It never extends a lease: the kernel's maps are the truth.

#include <filesystem>
#include <optional>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "node/agent/state_copy.h"
#include "policy/node_state.h"

namespace cordon::node {

struct SavedState {
  Revision revision;
  policy::NodeState state;
  std::vector<Endpoint> ends;  ///< where the tunnel's peers were reached; of guard_file.h alone
};

/// Written as the wire's frames: Endpoints when there are any, StateBegin, StatePart..., StateEnd with the
/// digest.
Result<> save_state(const std::filesystem::path& file, const SavedState& saved);
/// The same of a copy of a state whose digest is known.
Result<> save_state(const std::filesystem::path& file, Revision revision, const Sha256& digest,
                    const StateCopy& copy);
/// None when there is no file; an error when it is damaged.
Result<std::optional<SavedState>> load_state(const std::filesystem::path& file);

}  // namespace cordon::node
