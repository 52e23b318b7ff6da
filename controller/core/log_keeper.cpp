#include "controller/core/log_keeper.h"

#include <fmt/format.h>

#include "base/log.h"

namespace cordon::controller {

LogKeeper::LogKeeper(LogStore& store, wire::HeadVerifier verifier, const Clock& clock,
                     std::chrono::milliseconds head_interval, Revision revision, const Sha256& hash,
                     LogKeeperEvents events)
    : store_(store),
      verifier_(std::move(verifier)),
      clock_(clock),
      head_interval_(head_interval),
      events_(std::move(events)),
      revision_(revision),
      hash_(hash),
      fresh_at_(clock.boot_ns()),
      thread_([this] { run(); }) {}

LogKeeper::~LogKeeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void LogKeeper::commit(LogBatch batch) {
  {
    const std::lock_guard lock(mutex_);
    batch_ = std::move(batch);
  }
  wake_.notify_one();
}

void LogKeeper::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait_for(lock, head_interval_, [this] { return stopping_ || batch_; });
    if (stopping_) return;
    auto batch = std::exchange(batch_, std::nullopt);
    lock.unlock();
    if (batch) {
      end(*batch);
    } else {
      look();
    }
    lock.lock();
  }
}

void LogKeeper::end(const LogBatch& batch) {
  const auto asked_at = clock_.boot_ns();
  auto done = store_.commit(batch.records, batch.head);
  if (done) {
    revision_ = batch.head.revision;
    hash_ = batch.head.hash;
    fresh_at_ = asked_at;
  } else if (done.error().code == ErrorCode::conflict) {
    // Only what is known to be new may be tried again: a storage that went back would conflict for ever.
    if (auto caught = catch_up(); !caught) done = std::move(caught);
  }
  events_.commit_ended(std::move(done));
}

/// Reads the head, and what others wrote up to it.
Result<> LogKeeper::catch_up() {
  const auto asked_at = clock_.boot_ns();
  CORDON_ASSIGN(const auto head, store_.head());
  if (head.first < revision_ || (head.first == revision_ && head.second != hash_)) {
    return fail(ErrorCode::unavailable,
                fmt::format("the stored log was rewritten: it ends at revision {}, we know revision {}",
                            head.first.value, revision_.value),
                "stop the controller, keep the files, and compare with an export: cordon audit verify FILE");
  }
  while (revision_ < head.first) {
    CORDON_ASSIGN(auto part, read_part(store_, revision_, hash_, verifier_));
    if (part.records.empty()) break;
    revision_ = part.head.revision;
    hash_ = part.head.hash;
    events_.others_wrote(std::move(part));
  }
  fresh_at_ = asked_at;
  return {};
}

void LogKeeper::look() {
  const auto caught = catch_up();
  const auto trouble = caught ? std::string() : caught.error().message();
  if (trouble == last_trouble_) return;
  last_trouble_ = trouble;
  if (trouble.empty()) {
    log::info("controller.log", "the log's head can be read again");
  } else {
    log::error("controller.log", "the log's head can't be read, so leases are not confirmed: {}", trouble);
  }
}

}  // namespace cordon::controller
