#pragma once
// Work on many rows, on as many CPUs as there are.

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

#include "base/result.h"

namespace cordon::node {

/// How many threads work on something large: as many as there are CPUs, within bounds.
inline std::size_t worker_threads() {
  constexpr std::size_t kMostThreads = 8;
  static const std::size_t count =
      std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, kMostThreads);
  return count;  // asking takes longer than a change of one row
}

/// Calls `work(i)`, which gives a Result<> and doesn't throw, for each i below `count`, each in a thread of
/// its own where there are threads to have. The first failure by number.
template <class Work>
Result<> at_once(std::size_t count, const Work& work) {
  std::vector<Result<>> results(count);
  {
    std::vector<std::jthread> others;
    std::size_t i = 1;
    try {
      for (; i < count; ++i) others.emplace_back([&work, &results, i] { results[i] = work(i); });
    } catch (const std::system_error&) {
      for (; i < count; ++i) results[i] = work(i);
    }
    if (count > 0) results[0] = work(0);
  }
  for (Result<>& result : results)
    if (!result) return std::move(result);
  return {};
}

/// Calls `work(first, end)`, which gives a Result<> and doesn't throw, for parts of [0, rows) that together
/// are the whole; at once in several threads when there are many rows. Each takes another part when it is
/// done with one, so that a CPU that others use as well does less. After a failure, which is told, none
/// begins.
template <class Work>
Result<> in_parallel(std::size_t rows, const Work& work) {
  constexpr std::size_t kRowsAPart = 1u << 15;  // fewer aren't worth a thread
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  return at_once(std::clamp<std::size_t>(rows / kRowsAPart, 1, worker_threads()),
                 [&](std::size_t) -> Result<> {
                   while (!failed) {
                     const std::size_t at = next.fetch_add(kRowsAPart);
                     if (at >= rows) return {};
                     Result<> done = work(at, std::min(at + kRowsAPart, rows));
                     if (done) continue;
                     failed = true;
                     return done;
                   }
                   return {};
                 });
}

/// Does jobs one after the other while its owner does something else.
class Beside {
 public:
  ~Beside() { wait(); }
  /// Waits for the job before; this one may not throw.
  template <class Job>
  void run(Job job) {
    wait();
    try {
      thread_ = std::jthread(job);
    } catch (const std::system_error&) {
      job();  // no thread for us
    }
  }
  void wait() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::jthread thread_;
};

}  // namespace cordon::node
