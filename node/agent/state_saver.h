#pragma once
// Keeps the state that is held on disk while the loop goes on: copied in slices, encoded and written by a
// thread, one write at a time. Nothing that is acknowledged waits for it, nor relies on it (guard_file.h
// does).

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "node/agent/state_copy.h"
#include "node/filter/parallel.h"

namespace cordon::node {

/// What is held now; `version` grows with each state.
struct HeldState {
  const policy::NodeState& state;
  Revision revision;
  Sha256 digest;
  std::uint64_t version = 0;
};

class StateSaver {
 public:
  /// All of it is called by the loop's thread. `io` and what `held` tells of outlive it.
  StateSaver(boost::asio::io_context& io, std::filesystem::path file, std::function<HeldState()> held);
  /// Waits for a write that runs.
  ~StateSaver();
  StateSaver(const StateSaver&) = delete;
  StateSaver& operator=(const StateSaver&) = delete;

  /// Writes what is held unless the file holds it: soon, or after the write that runs.
  void save();
  /// The held state was changed so, or by another whole one (null): to be told after each, at once.
  void changed(const std::vector<policy::Change>* changes);
  /// Returns when the file holds what is held, or the write failed.
  void finish();
  /// "" or why the last write failed; the next save() tries again.
  const std::string& alarm() const { return alarm_; }

 private:
  struct Write;
  void copy_on();
  std::shared_ptr<Write> copied();
  void write();
  void written();

  boost::asio::io_context& io_;
  std::filesystem::path file_;
  std::function<HeldState()> held_;
  std::shared_ptr<StateCopy> copying_;  ///< null when none is made
  std::shared_ptr<Write> writing_;      ///< null when none runs; the thread sees it too
  bool again_ = false;                  ///< a save was asked for while one was written
  std::uint64_t saved_ = 0;             ///< the version in the file
  std::string alarm_;
  Beside thread_;  // last: waits for the write before the others go
};

}  // namespace cordon::node
