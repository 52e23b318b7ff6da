#pragma once
// The connections there are: counted against a limit, closed together at the end. Safe from any thread.

#include <functional>
#include <map>
#include <memory>
#include <mutex>

namespace cordon::controller::api {

class Connections : public std::enable_shared_from_this<Connections> {
 public:
  explicit Connections(std::size_t most) : most_(most) {}

  /// Held by a connection while it lives.
  class Place {
   public:
    Place(std::shared_ptr<Connections> all, std::uint64_t id) : all_(std::move(all)), id_(id) {}
    ~Place() { all_->leave(id_); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    std::shared_ptr<Connections> all_;
    std::uint64_t id_;
  };

  /// Null when it is full or closed. `close` may be called once, from any thread.
  std::shared_ptr<Place> enter(std::function<void()> close);
  void close_all();

 private:
  void leave(std::uint64_t id);

  const std::size_t most_;
  std::mutex mutex_;
  std::uint64_t next_ = 0;
  bool closed_ = false;
  std::map<std::uint64_t, std::function<void()>> open_;
};

}  // namespace cordon::controller::api
