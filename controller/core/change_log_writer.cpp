#include "controller/core/change_log_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <deque>
#include <set>

#include "base/log.h"
#include "controller/core/log_keeper.h"
#include "controller/world/addresses.h"
#include "controller/world/kinds.h"
#include "proto/receipt.h"

namespace cordon::controller {

namespace {

using Done = std::function<void(Result<Committed>)>;

constexpr std::size_t kMaxBatch = 256;
constexpr std::size_t kMaxBatchBytes = 4u << 20;
constexpr std::size_t kMaxLook = 4 * kMaxBatch;  // waiting proposals that are looked at for one batch
constexpr std::size_t kMaxWaiting = 20'000;
constexpr BootNs kFreshFor = 5'000'000'000;

struct Waiting {
  Proposal proposal;
  kinds::Kind kind;
  std::vector<std::string> touches;
  Done done;
};

bool takes_address(const kinds::Kind& kind) {
  return std::holds_alternative<kinds::SessionOpened>(kind) ||
         std::holds_alternative<kinds::DeviceApproved>(kind) ||
         std::holds_alternative<kinds::DeviceEnrolled>(kind);
}

/// What the proposals of a batch touch, and those that were passed over: nobody overtakes whom they'd meet.
class TouchedNow {
 public:
  bool meets(const std::vector<std::string>& touches) const {
    if (everything_ || (!touched_.empty() && std::ranges::find(touches, "*") != touches.end())) return true;
    return std::ranges::any_of(touches, [this](const auto& one) { return touched_.contains(one); });
  }
  bool all() const { return everything_; }
  void add(const std::vector<std::string>& touches) {
    touched_.insert(touches.begin(), touches.end());
    everything_ = everything_ || touched_.contains("*");
    if (touches.empty()) touched_.insert("");  // so that "*" doesn't overtake it
  }

 private:
  std::set<std::string> touched_;
  bool everything_ = false;
};

class ChangeLogWriter final : public ChangeLog {
 public:
  ChangeLogWriter(ChangeLogConfig config, Folded folded, wire::HeadVerifier verifier)
      : config_(std::move(config)),
        world_(std::move(folded.world)),
        format_(folded.format),
        policies_(std::move(folded.policies)),
        head_(std::move(folded.head)),
        keeper_(config_.store, std::move(verifier), config_.clock, config_.head_interval, world_.revision,
                world_.head, events()) {}

  const policy::World& world() const override { return world_; }
  const SignedHead& head() const override { return head_; }
  std::uint32_t format() const override { return format_; }
  const PolicyHistory& policies() const override { return policies_; }
  bool storage_is_fresh() const override {
    return !broken_ && config_.clock.boot_ns() - keeper_.fresh_at() < kFreshFor;
  }
  void on_record(Listener listener) override { listeners_.push_back(std::move(listener)); }

  void propose(Proposal proposal, Done done) override {
    if (queue_.size() >= kMaxWaiting) {
      return answer(std::move(done), fail(ErrorCode::exhausted, "too many changes wait to be recorded",
                                          "is the disk of the change log slow?"));
    }
    auto kind = kinds::decode(proposal.kind, proposal.version, proposal.payload);
    if (!kind) return answer(std::move(done), std::unexpected(kind.error()));
    auto touches = kinds::touches(*kind);
    queue_.push_back({std::move(proposal), std::move(*kind), std::move(touches), std::move(done)});
    pump_soon();
  }

 private:
  template <class Work>
  void post(Work work) {
    boost::asio::post(config_.strand, [alive = std::weak_ptr<int>(alive_), work = std::move(work)]() mutable {
      if (alive.lock()) work();
    });
  }

  LogKeeperEvents events() {
    return {
        .others_wrote = [this](LogPart part) { post([this, part = std::move(part)] { fold_others(part); }); },
        .commit_ended =
            [this](Result<> result) {
              post([this, result = std::move(result)]() mutable { end_batch(std::move(result)); });
            }};
  }

  /// Never called from within propose: callers may hold what `done` wants.
  void answer(Done done, Result<Committed> result) {
    post([done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); });
  }

  /// By a post, so that whatever is proposed in one turn of the strand shares a batch.
  void pump_soon() {
    if (std::exchange(pump_is_posted_, true)) return;
    post([this] {
      pump_is_posted_ = false;
      pump();
    });
  }

  void pump() {
    while (!committing_ && !queue_.empty()) {
      judge(take_batch());
      if (!batch_.empty()) send_batch();
    }
  }

  std::vector<Waiting> take_batch() {
    std::vector<Waiting> taken;
    std::vector<Waiting> left;
    TouchedNow touched;
    std::size_t bytes = 0;
    // Two that take the last address would both be judged good: near the end of the pool they go one by one.
    auto addresses = std::max<std::uint64_t>(1, v4_surely_free(world_));
    std::size_t seen = 0;
    for (; seen < queue_.size() && seen < kMaxLook && taken.size() < kMaxBatch && !touched.all(); ++seen) {
      auto& waiting = queue_[seen];
      const bool allocates = takes_address(waiting.kind);
      const bool fits = (bytes += waiting.proposal.payload.size()) <= kMaxBatchBytes;
      const bool goes =
          (taken.empty() || fits) && !(allocates && addresses == 0) && !touched.meets(waiting.touches);
      touched.add(waiting.touches);
      if (goes && allocates) --addresses;
      if (goes) {
        taken.push_back(std::move(waiting));
      } else {
        left.push_back(std::move(waiting));
      }
    }
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(seen));
    queue_.insert(queue_.begin(), std::move_iterator(left.begin()), std::move_iterator(left.end()));
    return taken;
  }

  void judge(std::vector<Waiting> taken) {
    auto revision = world_.revision;
    auto previous = world_.head;
    auto previous_at = world_.at;
    for (auto& waiting : taken) {
      const auto now = config_.clock.now();
      const auto at = revision.value == 0 ? now : std::max(now, previous_at + std::chrono::microseconds(1));
      if (auto good = is_good(waiting, at); !good) {
        answer(std::move(waiting.done), std::unexpected(std::move(good).error()));
        continue;
      }
      Record record{.revision = Revision(revision.value + 1),
                    .at = at,
                    .actor = waiting.proposal.actor,
                    .kind = waiting.proposal.kind,
                    .version = waiting.proposal.version,
                    .payload = waiting.proposal.payload,
                    .previous = previous};
      record.hash = hash_of(record);
      revision = record.revision;
      previous = record.hash;
      previous_at = record.at;
      records_.push_back(std::move(record));
      batch_.push_back(std::move(waiting));
    }
  }

  Result<> is_good(const Waiting& waiting, Timestamp at) const {
    if (broken_)
      return fail(ErrorCode::internal, "the change log stopped", "restart the controller and read its log");
    CORDON_TRY(check(world_, waiting.proposal, at, config_.zones));
    if (const auto needed = kinds::format_of(waiting.kind); needed > format_) {
      return fail(ErrorCode::conflict,
                  fmt::format("\"{}\" needs a log of format {}, and this one has {}", waiting.proposal.kind,
                              needed, format_),
                  "the controller raises the format when it starts");
    }
    // The fold can't know names of erased people, so this is the writer's to see to.
    if (const auto* added = std::get_if<kinds::UserAdded>(&waiting.kind)) {
      CORDON_ASSIGN(const auto unsealed, config_.unseal(added->user, added->sealed_name));
      const std::string name = unsealed.value_or("");
      if (world_.user_ids.contains({added->issuer, name}))
        return fail(ErrorCode::conflict, fmt::format("there is a user \"{}\" already", name));
    }
    return {};
  }

  void send_batch() {
    auto signer = config_.signer();
    const auto& last = records_.back();
    batch_head_ = {.revision = last.revision,
                   .hash = last.hash,
                   .signature = signer.key.sign(wire::head_text(last.revision, last.hash)),
                   .signer_pem = std::move(signer.chain_pem)};
    committing_ = true;
    keeper_.commit({.records = records_, .head = batch_head_});
  }

  void end_batch(Result<> result) {
    auto batch = std::exchange(batch_, {});
    const auto records = std::exchange(records_, {});
    if (result) {
      // Still committing_: what listeners and callers propose waits until the whole batch is folded.
      for (std::size_t i = 0; i < batch.size(); ++i) {
        fold_one(records[i], batch_head_, batch[i].proposal.parsed);
        if (broken_) {
          batch[i].done(fail(ErrorCode::internal, "the change is recorded but can't be folded"));
        } else {
          batch[i].done(Committed{.record = records[i], .head = batch_head_});
        }
      }
    } else if (result.error().code == ErrorCode::conflict) {
      queue_.insert(queue_.begin(), std::move_iterator(batch.begin()), std::move_iterator(batch.end()));
    } else {
      refuse(std::move(batch), result.error());
    }
    committing_ = false;
    pump_soon();
  }

  void refuse(std::vector<Waiting> batch, const Error& error) {
    log::error("controller.log", "{} changes were not recorded: {}", batch.size(), error.message());
    for (auto& waiting : batch) {
      waiting.done(fail(ErrorCode::unavailable, fmt::format("the change was not recorded: {}", error.what),
                        error.hint));
    }
  }

  void fold_others(const LogPart& part) {
    for (const auto& record : part.records) fold_one(record, part.head, nullptr);
  }

  void fold_one(const Record& record, const SignedHead& head, policy::PolicyPtr parsed) {
    if (broken_) return;
    if (const auto folded = apply(world_, record, config_.unseal, config_.zones, std::move(parsed));
        !folded) {
      // What is durable can't be folded, so this controller no longer knows the world: it confirms no leases
      // and changes nothing until somebody looked.
      broken_ = true;
      log::error("controller.log", "the change log stops: {}", folded.error().message());
      return;
    }
    head_ = head;
    policies_.add(record, world_);
    format_ = format_after(format_, record);
    for (std::size_t i = 0; i < listeners_.size(); ++i) listeners_[i](record, world_);
  }

  std::shared_ptr<int> alive_ = std::make_shared<int>();
  const ChangeLogConfig config_;
  policy::World world_;
  std::uint32_t format_;
  PolicyHistory policies_;
  SignedHead head_;
  std::vector<Listener> listeners_;
  std::deque<Waiting> queue_;
  std::vector<Waiting> batch_;  // with records_ and batch_head_: what is being committed
  std::vector<Record> records_;
  SignedHead batch_head_;
  bool committing_ = false;
  bool pump_is_posted_ = false;
  bool broken_ = false;
  LogKeeper keeper_;  // last: its thread ends first
};

}  // namespace

Result<std::unique_ptr<ChangeLog>> make_change_log(ChangeLogConfig config) {
  wire::HeadVerifier verifier(config.trust_bundle_pem);
  CORDON_ASSIGN(auto folded, fold_log(config.store, verifier, config.unseal, config.zones));
  return std::make_unique<ChangeLogWriter>(std::move(config), std::move(folded), std::move(verifier));
}

}  // namespace cordon::controller
