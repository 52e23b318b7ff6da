#include "node/agent/state_saver.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "base/log.h"
#include "node/agent/state_file.h"

namespace cordon::node {
namespace {

// About half a millisecond.
constexpr std::size_t kEntriesASlice = 2048;

}  // namespace

/// A copy on its way to the disk.
struct StateSaver::Write {
  std::shared_ptr<const StateCopy> copy;  ///< let go by the thread: that takes a while, too
  Revision revision;
  Sha256 digest{};
  std::uint64_t version = 0;
  Result<> result;

  void run(const std::filesystem::path& file) {
    try {
      result = save_state(file, revision, digest, *copy);
    } catch (const std::exception& e) {
      result = fail(ErrorCode::exhausted, e.what());  // no memory for the bytes
    }
    copy.reset();
  }
};

StateSaver::StateSaver(boost::asio::io_context& io, std::filesystem::path file,
                       std::function<HeldState()> held)
    : io_(io), file_(std::move(file)), held_(std::move(held)) {}

StateSaver::~StateSaver() = default;

void StateSaver::save() {
  if (writing_) again_ = true;
  // A copy that is being made will hold what is held when it is whole.
  if (writing_ || copying_ || held_().version == saved_) return;
  copying_ = std::make_shared<StateCopy>();
  copy_on();
}

void StateSaver::changed(const std::vector<policy::Change>* changes) {
  if (!copying_) return;
  if (changes != nullptr)
    copying_->changed(*changes);
  else
    *copying_ = StateCopy{};
}

void StateSaver::copy_on() {
  if (copying_->copy(held_().state, kEntriesASlice)) return write();
  // What came in the meantime is heard before the next slice.
  boost::asio::post(io_, [this, weak = std::weak_ptr(copying_)] {
    if (!weak.expired()) copy_on();
  });
}

std::shared_ptr<StateSaver::Write> StateSaver::copied() {
  const HeldState held = held_();
  auto out = std::make_shared<Write>();
  out->copy = std::exchange(copying_, nullptr);
  out->revision = held.revision;
  out->digest = held.digest;
  out->version = held.version;
  return out;
}

void StateSaver::write() {
  writing_ = copied();
  thread_.run([this, write = writing_, file = file_, work = boost::asio::make_work_guard(io_)] {
    write->run(file);
    boost::asio::post(io_, [this, weak = std::weak_ptr(write)] {
      if (!weak.expired()) written();
    });
  });
}

void StateSaver::written() {
  thread_.wait();
  const auto write = std::exchange(writing_, nullptr);
  const Result<>& done = write->result;
  if (!done && alarm_.empty()) log::error("node.agent", "state not saved: {}", done.error().message());
  alarm_ = done ? "" : "state not saved: " + done.error().message();
  if (done) saved_ = write->version;
  if (std::exchange(again_, false)) save();
}

void StateSaver::finish() {
  again_ = false;
  if (writing_) {
    thread_.wait();
    written();
  }
  if (!copying_ && held_().version == saved_) return;
  if (!copying_) copying_ = std::make_shared<StateCopy>();
  while (!copying_->copy(held_().state, kEntriesASlice)) {
  }
  writing_ = copied();
  writing_->run(file_);
  written();
}

}  // namespace cordon::node
