#pragma once
// The storage's part of the change log, on a thread of its own: commits batches, reads the head again and
// again, and brings what another controller wrote. It never waits for the strand.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "controller/core/fold_log.h"

namespace cordon::controller {

struct LogBatch {
  std::vector<Record> records;
  SignedHead head;
};

/// Called on the keeper's thread: whoever implements it posts to where it belongs.
struct LogKeeperEvents {
  std::function<void(LogPart)> others_wrote;  ///< to be folded before anything that is told later
  /// `conflict`: others wrote first, and what they wrote has been told; any other error: nothing was written.
  std::function<void(Result<>)> commit_ended;
};

class LogKeeper {
 public:
  LogKeeper(LogStore& store, wire::HeadVerifier verifier, const Clock& clock,
            std::chrono::milliseconds head_interval, Revision revision, const Sha256& hash,
            LogKeeperEvents events);
  ~LogKeeper();
  LogKeeper(const LogKeeper&) = delete;
  LogKeeper& operator=(const LogKeeper&) = delete;

  /// One batch at a time: not again before commit_ended.
  void commit(LogBatch batch);
  /// When the head was last read and was what we know (boot-time clock).
  BootNs fresh_at() const { return fresh_at_; }

 private:
  void run();
  void end(const LogBatch& batch);
  Result<> catch_up();
  void look();

  LogStore& store_;
  wire::HeadVerifier verifier_;
  const Clock& clock_;
  const std::chrono::milliseconds head_interval_;
  const LogKeeperEvents events_;
  Revision revision_;  // the last record that the strand knows or was told; the thread's alone
  Sha256 hash_;
  std::string last_trouble_;  // told once, until it changes
  std::atomic<BootNs> fresh_at_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<LogBatch> batch_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace cordon::controller
