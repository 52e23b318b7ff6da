#include "controller/distribution/state_feed.h"

#include <algorithm>

#include "base/crypto.h"
#include "controller/distribution/wire_head.h"
#include "proto/codec.h"
#include "proto/receipt.h"

namespace cordon::controller {

namespace {

// Well under a frame, so that other messages get through between parts.
constexpr std::size_t kPartBytes = 1u << 20;

void encode(const Outbox::Out& out, wire::Entry* entry) {
  *entry = wire::encode_entry(out.key, out.value ? &*out.value : nullptr);
  entry->set_generation(out.generation);
  entry->set_was_removed(out.value && out.was_removed);
}

bool starts_flows(const policy::Change& change) {
  const auto* grant = std::get_if<policy::GrantKey>(&change.key);
  return grant != nullptr && change.value && grant->direction == policy::Direction::egress;
}

}  // namespace

void StateFeed::start(const policy::NodeState& wanted, bool holds_it, Revision revision, Time now) {
  outbox_.reset(wanted);
  newest_ = revision;
  greet_ = holds_it;
  wants_whole_ = !holds_it;
  // What it holds instead may grant more.
  if (!holds_it) note_reduction(revision, now);
}

void StateFeed::note_reduction(Revision revision, Time now) {
  constexpr std::size_t kMost = 256;  // beyond, neighbours are one
  if (reductions_.size() >= kMost)
    reductions_.back().revision = revision;
  else
    reductions_.push_back({.revision = revision, .since = now});
}

std::optional<StateFeed::Time> StateFeed::owes_since() const {
  if (reductions_.empty()) return std::nullopt;
  return reductions_.front().since;
}

void StateFeed::add(const policy::NodeDelta& delta, Revision revision, Time now) {
  const Outbox::Added added = outbox_.add(delta, revision);
  // Nothing that is still to be sent would ever prove this revision.
  greet_ = greet_ || added.overtaken;
  if (added.takes_away) {
    note_reduction(revision, now);
    // The pause after a NACK is for a node that can't follow; what takes access away doesn't wait for it.
    if (wants_whole_) whole_at_ = std::min(whole_at_, now);
  }
  newest_ = revision;
  bool starts = false;
  delta.each([&](const policy::Change& change) { starts = starts || starts_flows(change); });
  if (starts) {
    if (!hold_until_) hold_until_ = now + limits_.hold;
    held_revision_ = revision;
  }
}

std::optional<Revision> StateFeed::holding() const {
  if (!hold_until_) return std::nullopt;
  return held_revision_;
}

std::optional<StateFeed::Time> StateFeed::wake() const {
  if (in_whole_ || in_flight_.size() >= limits_.window) return std::nullopt;  // an ack or the link wakes us
  if (wants_whole_) return whole_at_;
  if (hold_until_ && !outbox_.empty()) return hold_until_;
  return std::nullopt;
}

bool StateFeed::urgent(Time now) const {
  if (in_whole_) return !in_whole_->removed.empty();
  if (in_flight_.size() >= limits_.window) return false;
  const bool takes_away = outbox_.has(Outbox::Which::urgent);
  if (wants_whole_) return now >= whole_at_ && (takes_away || !tombstones_.empty());
  return takes_away;
}

bool StateFeed::next(const SignedHead& head, Time now, wire::ToNode& out) {
  out.Clear();
  if (in_whole_) {
    continue_whole(out);
    return true;
  }
  if (in_flight_.size() >= limits_.window) return false;
  if (wants_whole_) {
    if (now < whole_at_) return false;
    begin_whole(head, out);
    return true;
  }
  if (greet_) {
    delta(Outbox::Which::urgent, head, out);
    return true;
  }
  if (hold_until_ && now >= *hold_until_) hold_until_.reset();
  const Outbox::Which rest = hold_until_ ? Outbox::Which::ready : Outbox::Which::all;
  if (outbox_.size() > wire::kPartEntries && outbox_.has(rest)) {
    begin_whole(head, out);
  } else if (outbox_.has(Outbox::Which::urgent)) {
    delta(Outbox::Which::urgent, head, out);
  } else if (outbox_.has(rest)) {
    delta(rest, head, out);
  } else {
    return false;
  }
  return true;
}

void StateFeed::note_removed(const std::vector<Outbox::Out>& taken, std::vector<policy::Key>& removed) const {
  for (const Outbox::Out& out : taken) {
    if (!out.value || out.was_removed) removed.push_back(out.key);
  }
}

StateFeed::InFlight StateFeed::flight(const SignedHead& head) {
  greet_ = false;
  InFlight flight{.sequence = sequence_, .head = head, .digest = outbox_.digest().value()};
  flight.complete = outbox_.complete(newest_);
  // Behind a hold only what starts flows is pending; without one, what is pending is pending for everybody.
  flight.ready = hold_until_ && !outbox_.has(Outbox::Which::ready) ? newest_ : flight.complete;
  return flight;
}

void StateFeed::delta(Outbox::Which which, const SignedHead& head, wire::ToNode& out) {
  const std::vector<Outbox::Out> taken = outbox_.take(which);
  ++sequence_;
  wire::Delta* delta = out.mutable_delta();
  for (const Outbox::Out& entry : taken)
    encode(entry, entry.value ? delta->add_upserts() : delta->add_removals());
  InFlight flight = this->flight(head);
  note_removed(taken, flight.removed);
  if (delta->ByteSizeLong() > kPartBytes) {
    tombstones_.insert(flight.removed.begin(), flight.removed.end());
    begin_whole(head, out);
    return;
  }
  delta->set_sequence(sequence_);
  delta->set_revision(head.revision.value);
  delta->set_digest(std::string(as_text(flight.digest)));
  encode_head(head, delta->mutable_head());
  in_flight_.push_back(std::move(flight));
}

void StateFeed::begin_whole(const SignedHead& head, wire::ToNode& out) {
  std::vector<policy::Key> removed(tombstones_.begin(), tombstones_.end());
  note_removed(outbox_.take(Outbox::Which::all), removed);
  tombstones_.insert(removed.begin(), removed.end());
  hold_until_.reset();
  parts_ = outbox_.whole(tombstones_);
  parts_sent_ = 0;
  ++sequence_;
  in_whole_ = flight(head);
  in_whole_->removed = std::move(removed);
  tombstones_.clear();
  wants_whole_ = false;
  out.Clear();
  wire::StateBegin* begin = out.mutable_begin();
  begin->set_sequence(sequence_);
  begin->set_revision(head.revision.value);
  encode_head(head, begin->mutable_head());
}

void StateFeed::continue_whole(wire::ToNode& out) {
  if (parts_sent_ == parts_.size()) {
    wire::StateEnd* end = out.mutable_end();
    end->set_sequence(in_whole_->sequence);
    end->set_digest(std::string(as_text(in_whole_->digest)));
    in_flight_.push_back(std::move(*in_whole_));
    in_whole_.reset();
    parts_.clear();
    return;
  }
  wire::StatePart* part = out.mutable_part();
  part->set_sequence(in_whole_->sequence);
  std::size_t bytes = 0;
  while (parts_sent_ < parts_.size() && bytes < kPartBytes &&
         static_cast<std::size_t>(part->entries_size()) < wire::kPartEntries) {
    encode(parts_[parts_sent_++], part->add_entries());
    bytes += part->entries(part->entries_size() - 1).ByteSizeLong();
  }
}

void StateFeed::lose_flights(Time now) {
  for (InFlight& flight : in_flight_) tombstones_.insert(flight.removed.begin(), flight.removed.end());
  if (in_whole_) tombstones_.insert(in_whole_->removed.begin(), in_whole_->removed.end());
  in_flight_.clear();
  in_whole_.reset();
  parts_.clear();
  wants_whole_ = true;
  whole_at_ = now + backoff_;
  backoff_ = std::min(backoff_ * 2, limits_.resync_most);
}

bool StateFeed::nack(std::uint64_t sequence, Time now) {
  const bool known = (in_whole_ && in_whole_->sequence == sequence) ||
                     std::ranges::find(in_flight_, sequence, &InFlight::sequence) != in_flight_.end();
  if (known) lose_flights(now);
  return known;
}

Result<SignedReceipt> StateFeed::ack(const wire::Ack& ack, const DeviceId& device, ByteView key_der,
                                     Time now) {
  const auto found = std::ranges::find(in_flight_, ack.sequence(), &InFlight::sequence);
  if (found == in_flight_.end())
    return fail(ErrorCode::not_found, "an ack for a sequence that is not unacked");
  const InFlight& flight = *found;
  const wire::Receipt& receipt = ack.receipt();
  const SignedReceipt signed_receipt{
      .head = flight.head.revision,
      .head_hash = flight.head.hash,
      .digest = flight.digest,
      .at = from_us(receipt.at_us()),
      .signature = Bytes(receipt.signature().begin(), receipt.signature().end())};
  if (receipt.revision() != flight.head.revision.value || receipt.head_hash() != as_text(flight.head.hash)) {
    return fail(ErrorCode::protocol, "a receipt of another head than was sent");
  }
  wire::ReceiptFields fields{.device = device,
                             .revision = flight.head.revision,
                             .head_hash = flight.head.hash,
                             .at = signed_receipt.at};
  if (receipt.digest().size() != fields.digest.size()) {
    return fail(ErrorCode::protocol, "a receipt without a digest");
  }
  std::ranges::copy(as_bytes(receipt.digest()), fields.digest.begin());
  if (!crypto::verify(key_der, wire::receipt_text(fields), signed_receipt.signature)) {
    return fail(ErrorCode::protocol, "a receipt that is not signed with the device's key");
  }
  if (fields.digest != flight.digest) {
    lose_flights(now);
    return fail(ErrorCode::conflict, "the node holds another state than it was sent");
  }
  complete_ = std::max(complete_, flight.complete);
  ready_ = std::max({ready_, flight.ready, flight.complete});
  in_flight_.erase(in_flight_.begin(), found + 1);
  while (!reductions_.empty() && reductions_.front().revision <= complete_) reductions_.pop_front();
  backoff_ = limits_.resync_first;
  return signed_receipt;
}

}  // namespace cordon::controller
