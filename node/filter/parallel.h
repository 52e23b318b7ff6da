#pragma once
// Work on many rows, on as many CPUs as there are.

#include <algorithm>
#include <system_error>
#include <thread>
#include <vector>

#include "base/result.h"

namespace cordon::node {

/// Calls `work(first, end)`, which gives a Result<> and doesn't throw, for parts of [0, rows) that together
/// are the whole; at once in several threads when there are many rows. The first part's failure.
template <class Work>
Result<> in_parallel(std::size_t rows, const Work& work) {
  constexpr std::size_t kMostThreads = 8, kRowsPerThread = 1u << 15;  // fewer aren't worth a thread
  const std::size_t cpus = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, kMostThreads);
  const std::size_t parts = std::clamp<std::size_t>(rows / kRowsPerThread, 1, cpus);
  std::vector<Result<>> results(parts);
  std::size_t at = 0;
  {
    std::vector<std::jthread> others;
    try {
      for (std::size_t i = 1; i < parts; ++i) {
        const std::size_t end = rows * i / parts;
        others.emplace_back([&work, &results, i, at, end] { results[i] = work(at, end); });
        at = end;
      }
    } catch (const std::system_error&) {
      // No more threads for us: this one does the rest.
    }
    results[0] = work(at, rows);
  }
  for (Result<>& result : results)
    if (!result) return std::move(result);
  return {};
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
