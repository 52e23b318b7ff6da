#pragma once
// The flow store as the rest of the controller uses it: nobody waits for its disk. One thread writes what
// nodes report, another reads, each over a connection of its own.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "controller/flows/flow_store.h"

namespace cordon::controller {

class Metrics;

struct FlowLimits {
  std::size_t waiting = 1u << 15;       ///< places for records that wait, denials and others each
  std::size_t batch = 4096;             ///< records in a transaction
  std::chrono::milliseconds pause{50};  ///< between transactions, so that followers are woken in handfuls
  std::size_t followers = 64;
  std::size_t look_at = 50'000;  ///< records behind a follower's place, in one step
};

class Flows {
 public:
  static Result<std::unique_ptr<Flows>> open(const std::filesystem::path& database, Metrics& metrics,
                                             FlowLimits limits = {});
  ~Flows();
  Flows(const Flows&) = delete;
  Flows& operator=(const Flows&) = delete;

  // From any thread; none of them blocks.

  /// When many wait, denials are added to those of their node, source and reason that wait (FoldingQueue);
  /// what has no room is counted in flows_dropped{reason="room"}. `mark`: they are of this report.
  void add(std::vector<FlowRecord> flows, std::optional<FlowMark> mark = std::nullopt);
  /// Calls `kept` on the writing thread with the last reports of which all is on disk, or counted as dropped.
  void on_kept(std::function<void(const std::vector<FlowMark>&)> kept);
  /// As an earlier run left them.
  const std::vector<FlowMark>& marks() const { return marks_; }
  void prune(Timestamp older_than, std::uint64_t max_bytes);
  /// Calls `work` on the reading thread, in turn.
  void read(std::function<void(FlowStore&)> work);
  /// Calls `done` on the reading thread with what matches behind `id`: at once when there is something, else
  /// when there is or `wait` is over. One follower too many is answered at once.
  void follow(FlowQuery query, std::int64_t id, std::chrono::milliseconds wait,
              std::function<void(Result<FlowsAfter>)> done);

  /// Writes what waits, answers who waits, ends both threads. Nothing is taken any more.
  void stop();

 private:
  class Writer;
  class Reader;
  Flows();
  std::vector<FlowMark> marks_;
  std::unique_ptr<Reader> reader_;
  std::unique_ptr<Writer> writer_;
};

}  // namespace cordon::controller
