#pragma once
// A few threads for work that is slow by intent. Bounded: what doesn't fit is refused, never queued without
// end.

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cordon::controller {

class HashPool {
 public:
  HashPool(unsigned threads, std::size_t longest_queue);
  ~HashPool();  ///< waits for what runs; what only waits in the queue is dropped
  HashPool(const HashPool&) = delete;
  HashPool& operator=(const HashPool&) = delete;

  /// False when the queue is full; else `job` runs on one of the threads.
  bool submit(std::function<void()> job);

 private:
  void run();

  const std::size_t longest_queue_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace cordon::controller
