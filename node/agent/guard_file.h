#pragma once
// What guards this host's underlay before anybody has said what holds: kept in a file when it changes, put in
// force at boot before the network is there (`cordon-node guard`), and by a daemon that finds no filter.

#include <filesystem>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "node/agent/state_file.h"
#include "node/filter/filter.h"
#include "node/netlink/network.h"

namespace cordon::node {

class GuardFile {
 public:
  explicit GuardFile(const std::filesystem::path& state_directory) : file_(state_directory / "guard.bin") {}

  /// Writes what of the state guards the underlay, and where the tunnel's peers are, unless the file holds
  /// it. On disk when it returns.
  Result<> keep(Revision revision, const policy::NodeState& state, const std::vector<Endpoint>& peers);
  /// Puts in force what the file tells, also that the only way to the overlay is `interface` (logged when
  /// it can't); false: there is none, nothing was ever guarded. One that can't be read isolates this host
  /// until a controller says otherwise: it may have said that it was.
  Result<bool> restore(Filter& filter, Network& network, std::string_view interface) const;
  /// The next boot guards nothing.
  void forget();

 private:
  std::filesystem::path file_;
  std::optional<SavedState> kept_;
};

}  // namespace cordon::node
