#include "controller/api/connections.h"

namespace cordon::controller::api {

std::shared_ptr<Connections::Place> Connections::enter(std::function<void()> close) {
  std::uint64_t id = 0;
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || open_.size() >= most_) return nullptr;
    id = ++next_;
    open_.emplace(id, std::move(close));
  }
  return std::make_shared<Place>(shared_from_this(), id);
}

void Connections::leave(std::uint64_t id) {
  std::function<void()> close;  // goes after the lock does: it may own the last reference to a stream
  const std::lock_guard lock(mutex_);
  const auto it = open_.find(id);
  if (it == open_.end()) return;
  close = std::move(it->second);
  open_.erase(it);
}

void Connections::close_all() {
  std::map<std::uint64_t, std::function<void()>> open;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    open.swap(open_);
  }
  for (const auto& [id, close] : open) close();
}

}  // namespace cordon::controller::api
