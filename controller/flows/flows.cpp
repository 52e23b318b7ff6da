#include "controller/flows/flows.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "base/folding_queue.h"
#include "base/log.h"
#include "controller/core/metrics.h"

namespace cordon::controller {

namespace {

namespace asio = boost::asio;
constexpr std::string_view kFlowsArea = "controller.flows";

/// Denials of one source and reason that one node told.
struct FlowFold {
  using Key = std::string;
  using Hash = std::hash<std::string>;
  static std::optional<Key> key(const FlowRecord& flow) {
    if (flow.kind != "denied" && flow.kind != "underlay") return std::nullopt;
    const auto source = flow.source.raw();
    std::string key(reinterpret_cast<const char*>(source.data()), source.size());
    for (const std::string* part : {&flow.node.value, &flow.kind, &flow.reason}) key += '\0' + *part;
    return key;
  }
  static void add(FlowRecord& into, const FlowRecord& flow) { into.suppressed += count(flow); }
  /// Of the node and the reason alone.
  static void make_other(FlowRecord& flow) {
    FlowRecord other{.node = flow.node, .kind = flow.kind};
    other.at = flow.at;
    other.reason = flow.reason;
    other.direction = flow.direction;
    other.suppressed = flow.suppressed;
    flow = std::move(other);
  }
  static std::uint64_t count(const FlowRecord& flow) { return flow.suppressed + 1; }
};

}  // namespace

class Flows::Reader {
 public:
  Reader(std::unique_ptr<FlowStore> store, const FlowLimits& limits)
      : store_(std::move(store)), limits_(limits), thread_([this] { io_.run(); }) {}

  void read(std::function<void(FlowStore&)> work) {
    asio::post(io_, [this, work = std::move(work)] { work(*store_); });
  }

  void follow(FlowQuery query, std::int64_t id, std::chrono::milliseconds wait,
              std::function<void(Result<FlowsAfter>)> done) {
    asio::post(io_, [this, query = std::move(query), id, wait, done = std::move(done)]() mutable {
      auto follower = std::make_shared<Follower>(io_, std::move(query), id, std::move(done));
      if (look(*follower, wait.count() == 0 || stopping_ || followers_.size() >= limits_.followers)) return;
      followers_.push_back(follower);
      follower->limit.expires_after(wait);
      follower->limit.async_wait([this, follower](boost::system::error_code ended) {
        if (ended || std::erase(followers_, follower) == 0) return;
        look(*follower, true);
      });
    });
  }

  /// There is something new.
  void wake() {
    if (woken_.exchange(true)) return;
    asio::post(io_, [this] {
      woken_ = false;
      look_at_all(false);
    });
  }

  void stop() {
    if (!thread_.joinable()) return;
    asio::post(io_, [this] {
      stopping_ = true;
      look_at_all(true);
      work_.reset();
    });
    thread_.join();
  }

 private:
  struct Follower {
    Follower(asio::io_context& io, FlowQuery what, std::int64_t place,
             std::function<void(Result<FlowsAfter>)> then)
        : query(std::move(what)), id(place), done(std::move(then)), limit(io) {}
    FlowQuery query;
    std::int64_t id;
    std::function<void(Result<FlowsAfter>)> done;
    asio::steady_timer limit;
  };

  /// True: the follower was answered.
  bool look(Follower& follower, bool answer_anyway) {
    auto found = store_->after(follower.query, follower.id, limits_.look_at);
    if (found) follower.id = found->last;
    if (found && found->flows.empty() && !found->more && !answer_anyway) return false;
    follower.done(std::move(found));
    return true;
  }

  void look_at_all(bool answer_anyway) {
    std::erase_if(followers_, [&](const std::shared_ptr<Follower>& follower) {
      if (!look(*follower, answer_anyway)) return false;
      follower->limit.cancel();
      return true;
    });
  }

  std::unique_ptr<FlowStore> store_;
  const FlowLimits limits_;
  asio::io_context io_{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_{io_.get_executor()};
  std::list<std::shared_ptr<Follower>> followers_;
  std::atomic<bool> woken_ = false;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the others
};

class Flows::Writer {
 public:
  Writer(std::unique_ptr<FlowStore> store, Metrics& metrics, const FlowLimits& limits, Reader& reader)
      : store_(std::move(store)),
        metrics_(metrics),
        limits_(limits),
        reader_(reader),
        waiting_(limits.waiting),
        thread_([this] { run(); }) {}

  void add(std::vector<FlowRecord> flows, std::optional<FlowMark> mark) {
    const std::scoped_lock lock(mutex_);
    if (mark) marks_.insert_or_assign(mark->node, *mark);
    const std::uint64_t lost = waiting_.lost();
    for (FlowRecord& flow : flows) waiting_.push(std::move(flow));
    if (waiting_.lost() > lost) metrics_.count("flows_dropped", "room", waiting_.lost() - lost);
    wake_.notify_one();
  }

  void on_kept(std::function<void(const std::vector<FlowMark>&)> kept) {
    const std::scoped_lock lock(mutex_);
    kept_ = std::move(kept);
  }

  void prune(Timestamp older_than, std::uint64_t max_bytes) {
    const std::scoped_lock lock(mutex_);
    prune_ = {older_than, max_bytes};
    wake_.notify_one();
  }

  void stop() {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
      wake_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return !waiting_.empty() || !marks_.empty() || prune_ || stopping_; });
      if (waiting_.empty() && marks_.empty() && stopping_) return;
      const auto prune = std::exchange(prune_, std::nullopt);
      std::vector<FlowRecord> batch;
      while (!waiting_.empty() && batch.size() < limits_.batch) batch.push_back(waiting_.pop());
      // A report's records may be anywhere in the queue: all of it is kept once nothing waits.
      std::vector<FlowMark> marks;
      if (waiting_.empty())
        for (auto& [node, mark] : std::exchange(marks_, {})) marks.push_back(std::move(mark));
      const auto kept = kept_;
      lock.unlock();
      if (!batch.empty() || !marks.empty()) write(batch, marks);
      if (kept && !marks.empty()) kept(marks);
      if (prune) remove_old(prune->first, prune->second);
      lock.lock();
      // What comes meanwhile waits for its batch; a full one doesn't.
      wake_.wait_for(lock, limits_.pause, [&] { return stopping_ || waiting_.size() >= limits_.batch; });
    }
  }

  void write(const std::vector<FlowRecord>& batch, const std::vector<FlowMark>& marks) {
    if (const auto added = store_->add(batch, marks); !added) {
      metrics_.count("flows_dropped", "storage", batch.size());
      return log::warning(kFlowsArea, "can't keep flow records: {}", added.error().message());
    }
    metrics_.count("flows", {}, batch.size());
    reader_.wake();
  }

  void remove_old(Timestamp older_than, std::uint64_t max_bytes) {
    if (const auto pruned = store_->prune(older_than, max_bytes); !pruned)
      log::warning(kFlowsArea, "can't remove old flow records: {}", pruned.error().message());
  }

  std::unique_ptr<FlowStore> store_;
  Metrics& metrics_;
  const FlowLimits limits_;
  Reader& reader_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  FoldingQueue<FlowRecord, FlowFold> waiting_;
  std::map<DeviceId, FlowMark> marks_;  ///< of all that waits or was written
  std::function<void(const std::vector<FlowMark>&)> kept_;
  std::optional<std::pair<Timestamp, std::uint64_t>> prune_;
  bool stopping_ = false;
  std::thread thread_;  // last: it uses the others
};

Flows::Flows() = default;
Flows::~Flows() {
  stop();
}

Result<std::unique_ptr<Flows>> Flows::open(const std::filesystem::path& database, Metrics& metrics,
                                           FlowLimits limits) {
  CORDON_ASSIGN(auto writes, open_flow_store(database));
  CORDON_ASSIGN(auto reads, open_flow_store(database));
  std::unique_ptr<Flows> flows(new Flows);
  CORDON_ASSIGN(flows->marks_, reads->marks());
  flows->reader_ = std::make_unique<Reader>(std::move(reads), limits);
  flows->writer_ = std::make_unique<Writer>(std::move(writes), metrics, limits, *flows->reader_);
  return flows;
}

void Flows::add(std::vector<FlowRecord> flows, std::optional<FlowMark> mark) {
  writer_->add(std::move(flows), std::move(mark));
}
void Flows::on_kept(std::function<void(const std::vector<FlowMark>&)> kept) {
  writer_->on_kept(std::move(kept));
}
void Flows::prune(Timestamp older_than, std::uint64_t max_bytes) {
  writer_->prune(older_than, max_bytes);
}
void Flows::read(std::function<void(FlowStore&)> work) {
  reader_->read(std::move(work));
}
void Flows::follow(FlowQuery query, std::int64_t id, std::chrono::milliseconds wait,
                   std::function<void(Result<FlowsAfter>)> done) {
  reader_->follow(std::move(query), id, wait, std::move(done));
}
void Flows::stop() {
  if (writer_) writer_->stop();
  if (reader_) reader_->stop();
}

}  // namespace cordon::controller
