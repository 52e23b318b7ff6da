#include "node/agent/state_keeper.h"

#include <algorithm>

#include "base/log.h"
#include "proto/codec.h"
#include "proto/cordon.pb.h"
#include "proto/receipt.h"

namespace cordon::node {
namespace {

constexpr std::string_view kStateArea = "node.agent";

/// `shortest`, or a lease of this entry that is shorter.
Seconds shorter_lease(Seconds shortest, const policy::Value& value) {
  if (const auto* grant = std::get_if<policy::GrantValue>(&value))
    return grant->lease_s == 0 ? shortest : std::min(shortest, Seconds{grant->lease_s});
  if (const auto* settings = std::get_if<policy::SettingsValue>(&value))
    return std::min(shortest, settings->node_lease);
  return shortest;
}

}  // namespace

/// A whole state while it is applied; afterwards the one before it.
struct StateKeeper::Coming {
  WholeState whole;
  TimeBase base;
  bool in_session = true;  ///< the session it came in goes on
  Result<ApplyReport> report;
  Seconds shortest_lease{Seconds::max()};
};

StateKeeper::StateKeeper(Applier& applier, HeadMemory& heads, const TimeKeeper& time, const Clock& clock)
    : applier_(applier), heads_(heads), time_(time), clock_(clock) {}

StateKeeper::~StateKeeper() = default;

void StateKeeper::start_from(Revision revision, policy::NodeState state) {
  state_ = std::move(state);
  revision_ = revision;
}

void StateKeeper::begin_session() {
  receiver_.reset();
  heads_.begin_session();
  if (coming_) coming_->in_session = false;  // its head is still due
  if (!coming_) coming_head_.reset();
  acked_in_session_ = false;
}

bool StateKeeper::take_head(const wire::SignedHead& head) {
  return check(head).has_value();
}

std::optional<Head> StateKeeper::check(const wire::SignedHead& head) {
  const auto accepted = heads_.accept(head, standing_.roots_pem, standing_.domain, clock_.now());
  if (!accepted) {
    if (head_alarm_.empty()) log::error(kStateArea, "{}", accepted.error().message());
    head_alarm_ = accepted.error().what;
    return std::nullopt;
  }
  head_alarm_.clear();
  return *accepted;
}

bool StateKeeper::take(const wire::ToNode& message, std::optional<wire::ToController>& answer) {
  std::uint64_t sequence = 0;
  Result<> result;
  switch (message.body_case()) {
    case wire::ToNode::kBegin:
      sequence = message.begin().sequence();
      result = begin(message);
      break;
    case wire::ToNode::kPart:
      sequence = message.part().sequence();
      result = receiver_.part(message.part());
      break;
    case wire::ToNode::kEnd: {
      sequence = message.end().sequence();
      auto whole = receiver_.end(message.end());
      if (whole && !*whole) return true;
      result = whole ? begin_whole(std::move(**whole)) : Result<>(std::unexpected(whole.error()));
      if (result && coming_->whole.state.entries.size() >= kManyEntries) return true;
      if (result) {
        write();
        written(answer);
        return true;
      }
      break;
    }
    case wire::ToNode::kDelta:
      sequence = message.delta().sequence();
      result = apply_delta(message);
      if (result) answer = ack(sequence);
      break;
    default:
      return false;
  }
  if (!result) {
    log::warning(kStateArea, "refused sequence {}: {}", sequence, result.error().message());
    answer = nack(sequence, result.error());
  }
  acked_in_session_ = acked_in_session_ || (answer && answer->has_ack());
  return true;
}

Result<> StateKeeper::begin(const wire::ToNode& message) {
  CORDON_TRY(receiver_.begin(message.begin()));
  coming_head_ = message.begin().has_head() ? check(message.begin().head()) : std::nullopt;
  if (coming_head_ && time_.known()) return {};
  // Its parts are passed over: another Begin is needed.
  Receiver passed_over;
  std::swap(passed_over, receiver_);
  if (!time_.known()) return fail(ErrorCode::protocol, "a state before the controller's time is known");
  return fail(ErrorCode::conflict, head_alarm_.empty() ? "a state without a signed head" : head_alarm_);
}

Result<ApplyReport> StateKeeper::held(Result<ApplyReport> applied) {
  holds_ = applied && applied->verified;
  if (!applied || applied->epoch_raised) ++cuts_;
  if (applied && !applied->verified)
    return fail(ErrorCode::internal, "the kernel does not hold what was written");
  return applied;
}

Result<> StateKeeper::begin_whole(WholeState whole) {
  auto coming = std::make_shared<Coming>();
  coming->whole = std::move(whole);
  coming->base = time_.base();
  const WholeState& wanted = coming->whole;
  if (auto begun = applier_.begin_replace(wanted.state, coming->base, wanted.raise_epoch); !begun) {
    CORDON_TRY(held(std::unexpected(begun.error())));
  }
  // Until it is written the kernel holds neither state for sure.
  holds_ = false;
  coming_ = std::move(coming);
  return {};
}

void StateKeeper::write() {
  const WholeState& wanted = coming_->whole;
  coming_->report = applier_.write_replace(wanted.state, coming_->base, wanted.raise_epoch);
  for (const auto& [key, value] : wanted.state.entries)
    coming_->shortest_lease = shorter_lease(coming_->shortest_lease, value);
}

std::shared_ptr<const void> StateKeeper::written(std::optional<wire::ToController>& answer) {
  const std::uint64_t sequence = coming_->whole.sequence;
  const Result<> result = end_whole();
  const auto done = std::exchange(coming_, nullptr);
  if (!result) log::warning(kStateArea, "refused sequence {}: {}", sequence, result.error().message());
  if (!done->in_session) return done;  // whoever waited for the answer is gone
  answer = result ? ack(sequence) : nack(sequence, result.error());
  acked_in_session_ = acked_in_session_ || result.has_value();
  return done;
}

Result<> StateKeeper::end_whole() {
  WholeState& whole = coming_->whole;
  CORDON_ASSIGN(const auto report, held(applier_.end_replace(whole.state, std::move(coming_->report))));
  std::swap(state_, whole.state);
  last_changes_.reset();
  shortest_lease_ = coming_->shortest_lease;
  became(whole.revision, whole.sequence, whole.digest);
  log::info(kStateArea, "holds revision {}: {} entries, {} written, {} removed", revision_.value,
            state_.entries.size(), report.written, report.removed);
  return {};
}

Result<> StateKeeper::apply_delta(const wire::ToNode& message) {
  const wire::Delta& delta = message.delta();
  if (!holds_) return fail(ErrorCode::conflict, "a delta before any whole state", "a whole state mends it");
  CORDON_ASSIGN(auto change, receiver_.delta(delta, state_, digest_));
  coming_head_ = delta.has_head() ? check(delta.head()) : std::nullopt;
  if (!coming_head_ && (delta.has_head() || !change.provisional))
    return fail(ErrorCode::conflict, head_alarm_.empty() ? "a delta without a signed head" : head_alarm_);
  if (!change.changes.empty() || change.raise_epoch) {
    CORDON_TRY(held(applier_.update(state_, change.changes, time_.base(), change.raise_epoch)));
    policy::apply(state_, change.changes);
  }
  for (const policy::Change& each : change.changes)
    if (each.value) shortest_lease_ = shorter_lease(shortest_lease_, *each.value);
  became(change.revision, change.sequence, change.digest);
  last_changes_ = std::move(change.changes);
  return {};
}

void StateKeeper::became(Revision revision, std::uint64_t sequence, const SetDigest& digest) {
  digest_ = digest;
  revision_ = revision;
  sequence_ = sequence;
  if (coming_head_) head_ = *coming_head_;
  holds_ = true;
  ++applied_;
}

Result<> StateKeeper::rewrite() {
  if (!holds_) return {};
  CORDON_TRY(held(applier_.replace(state_, time_.base(), false)));
  return {};
}

wire::ToController StateKeeper::ack(std::uint64_t sequence) const {
  wire::ReceiptFields fields;
  fields.device = standing_.device;
  fields.revision = head_.revision;
  fields.head_hash = head_.hash;
  fields.digest = digest_.value();
  fields.at = time_.base().to_utc(clock_.boot_ns());
  wire::ToController out;
  out.mutable_ack()->set_sequence(sequence);
  out.mutable_ack()->set_revision(revision_.value);
  auto& receipt = *out.mutable_ack()->mutable_receipt();
  receipt.set_revision(fields.revision.value);
  receipt.set_head_hash(fields.head_hash.data(), fields.head_hash.size());
  receipt.set_digest(fields.digest.data(), fields.digest.size());
  receipt.set_at_us(to_us(fields.at));
  if (standing_.key) {
    const Bytes signature = standing_.key->sign(wire::receipt_text(fields));
    receipt.set_signature(signature.data(), signature.size());
  }
  return out;
}

wire::ToController StateKeeper::nack(std::uint64_t sequence, const Error& why) {
  wire::ToController out;
  out.mutable_nack()->set_sequence(sequence);
  out.mutable_nack()->set_reason(why.message());
  return out;
}

}  // namespace cordon::node
