#include "node/agent/receiver.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "proto/codec.h"
#include "proto/cordon.pb.h"

namespace cordon::node {
namespace {

Result<> require_digest(const SetDigest& digest, std::string_view announced) {
  if (std::ranges::equal(digest.value(), as_bytes(announced))) return {};
  return fail(ErrorCode::conflict,
              "the digest differs: this node holds something else than the controller thinks",
              "a whole state mends it");
}

using Wanted = std::map<policy::Key, std::optional<policy::Value>>;

Result<> decode_all(const wire::Delta& delta, Wanted& wanted, bool& raise_epoch) {
  for (const auto& entry : delta.removals()) {
    CORDON_ASSIGN(auto change, wire::decode_entry(entry, true));
    wanted[std::move(change.key)] = std::nullopt;
  }
  for (const auto& entry : delta.upserts()) {
    CORDON_ASSIGN(auto change, wire::decode_entry(entry, false));
    raise_epoch = raise_epoch || entry.was_removed();
    wanted[std::move(change.key)] = std::move(change.value);
  }
  return {};
}

}  // namespace

void Receiver::reset() {
  last_sequence_ = 0;
  gathering_.reset();
}

Result<> Receiver::advance(std::uint64_t sequence) {
  if (sequence <= last_sequence_)
    return fail(ErrorCode::protocol, fmt::format("sequence {} after {}", sequence, last_sequence_));
  last_sequence_ = sequence;
  return {};
}

Result<> Receiver::begin(const wire::StateBegin& begin) {
  gathering_.reset();
  CORDON_TRY(advance(begin.sequence()));
  gathering_.emplace();
  gathering_->sequence = begin.sequence();
  gathering_->revision = Revision{begin.revision()};
  return {};
}

Result<> Receiver::part(const wire::StatePart& part) {
  if (!gathering_ || gathering_->sequence != part.sequence()) return {};
  auto& entries = gathering_->state.entries;
  for (const auto& entry : part.entries()) {
    auto change = wire::decode_entry(entry, false);
    Result<> problem;
    if (!change)
      problem = std::unexpected(change.error());
    else if (entries.size() >= kMostEntries)
      problem = fail(ErrorCode::exhausted, fmt::format("the state has more than {} entries", kMostEntries));
    else if (!entries.try_emplace(change->key, *change->value).second)
      problem = fail(ErrorCode::protocol, "the state holds a key twice");
    if (problem) {
      gathering_->digest.add(policy::encode(change->key, *change->value));
      gathering_->raise_epoch = gathering_->raise_epoch || entry.was_removed();
      continue;
    }
    gathering_.reset();
    return problem;
  }
  return {};
}

Result<std::optional<WholeState>> Receiver::end(const wire::StateEnd& end) {
  if (!gathering_ || gathering_->sequence != end.sequence()) return std::nullopt;
  WholeState state = std::move(*gathering_);
  gathering_.reset();
  CORDON_TRY(require_digest(state.digest, end.digest()));
  if (state.state.settings() == nullptr) return fail(ErrorCode::protocol, "the state has no settings");
  return state;
}

Result<DeltaState> Receiver::delta(const wire::Delta& delta, const policy::NodeState& held,
                                   const SetDigest& digest) {
  CORDON_TRY(advance(delta.sequence()));
  DeltaState out;
  out.sequence = delta.sequence();
  out.revision = Revision{delta.revision()};
  out.provisional = delta.provisional();
  out.digest = digest;
  Wanted wanted;
  CORDON_TRY(decode_all(delta, wanted, out.raise_epoch));
  std::vector<policy::Change> upserts;
  std::size_t size = held.entries.size();
  for (auto& [key, value] : wanted) {
    const auto old = held.entries.find(key);
    const policy::Value* was = old == held.entries.end() ? nullptr : &old->second;
    if (value ? was != nullptr && *was == *value : was == nullptr) continue;
    policy::Change change{.key = key, .value = std::move(value)};
    if (out.provisional && !policy::takes_away(was, change))
      return fail(ErrorCode::protocol, "a provisional delta may only take away");
    if (was != nullptr) out.digest.remove(policy::encode(key, *was));
    if (change.value) out.digest.add(policy::encode(key, *change.value));
    size += was == nullptr ? 1 : 0;
    (change.value ? upserts : out.changes).push_back(std::move(change));
  }
  if (size > kMostEntries)
    return fail(ErrorCode::exhausted, fmt::format("the state would have more than {} entries", kMostEntries));
  std::ranges::move(upserts, std::back_inserter(out.changes));
  const policy::Key settings = policy::SettingsKey{};
  if (std::ranges::any_of(out.changes, [&](const auto& c) { return c.key == settings && !c.value; }))
    return fail(ErrorCode::protocol, "the settings can't be removed");
  CORDON_TRY(require_digest(out.digest, delta.digest()));
  return out;
}

}  // namespace cordon::node
