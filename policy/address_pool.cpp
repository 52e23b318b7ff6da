#include "policy/address_pool.h"

#include <bit>

namespace cordon::policy {

namespace {
constexpr std::uint32_t kWordBits = 64;
}  // namespace

AddressPool::AddressPool(const Prefix& prefix) : base_(prefix.address.v4_host_order()) {
  const unsigned host_bits = 32 - prefix.length();
  if (host_bits >= 2) capacity_ = static_cast<Offset>((std::uint64_t{1} << host_bits) - 2);
}

Address AddressPool::address_of(Offset offset) const {
  return Address::from_v4(base_ + offset);
}

AddressPool::Offset AddressPool::offset_of(const Address& address) const {
  if (!address.is_v4()) return 0;
  const std::uint32_t offset = address.v4_host_order() - base_;
  return offset <= capacity_ ? offset : 0;
}

bool AddressPool::is_taken(Offset offset) const {
  const std::size_t word = offset / kWordBits;
  return word < taken_.size() && (taken_[word] >> (offset % kWordBits) & 1) != 0;
}

void AddressPool::mark(Offset offset, bool taken) {
  const std::size_t word = offset / kWordBits;
  if (word >= taken_.size()) taken_.resize(word + 1);
  const std::uint64_t bit = std::uint64_t{1} << (offset % kWordBits);
  taken_[word] = taken ? taken_[word] | bit : taken_[word] & ~bit;
}

bool AddressPool::is_in_use(const Address& address) const {
  const Offset offset = offset_of(address);
  return offset != 0 && is_taken(offset) && !resting_.contains(offset);
}

bool AddressPool::is_resting(const Address& address) const {
  return resting_.contains(offset_of(address));
}

/// The first in [from, until] that nobody has and that doesn't rest; 0: there is none. Looks at 64 at once:
/// the largest pool is 65,536 words.
AddressPool::Offset AddressPool::first_free(Offset from, Offset until) const {
  std::uint64_t offset = from;
  while (offset <= until) {
    const std::size_t word = offset / kWordBits;
    if (word >= taken_.size()) break;
    const auto run = static_cast<std::uint32_t>(std::countr_one(taken_[word] >> (offset % kWordBits)));
    if (run == 0) break;
    // Past the word's end the shift brought zeros.
    offset = std::min<std::uint64_t>(offset + run, (word + 1) * kWordBits);
  }
  return offset <= until ? static_cast<Offset>(offset) : 0;
}

std::optional<Address> AddressPool::next(Timestamp at) const {
  Offset best = first_free(next_, capacity_);
  if (best == 0) best = first_free(1, next_ - 1);
  // Of those that have rested and were not woken yet, one may come first.
  const auto steps = [this](Offset offset) {  // from where it is looked for first
    return offset >= next_ ? offset - next_ : offset + (capacity_ - next_ + 1);
  };
  for (const auto& [wakes, none] : wakes_) {
    if (wakes.first > at) break;
    if (best == 0 || steps(wakes.second) < steps(best)) best = wakes.second;
  }
  if (best == 0) return std::nullopt;
  return address_of(best);
}

void AddressPool::free(Offset offset) {
  const auto rests = resting_.find(offset);
  if (rests == resting_.end()) return;
  wakes_.erase({rests->second, offset});
  resting_.erase(offset);
  mark(offset, false);
}

void AddressPool::wake(Timestamp at) {
  while (!wakes_.empty() && wakes_.begin()->first.first <= at) free(wakes_.begin()->first.second);
}

void AddressPool::take(const Address& address, Timestamp at) {
  wake(at);
  const Offset offset = offset_of(address);
  if (offset == 0) return;
  free(offset);
  if (!is_taken(offset)) ++in_use_;
  mark(offset, true);
  next_ = offset >= capacity_ ? 1 : offset + 1;
}

void AddressPool::give_back(const Address& address, Timestamp free_at) {
  if (!is_in_use(address)) return;
  const Offset offset = offset_of(address);
  --in_use_;
  resting_.emplace(offset, free_at);
  wakes_.try_emplace({free_at, offset});
}

std::vector<std::pair<Address, Timestamp>> AddressPool::at_rest() const {
  std::vector<std::pair<Address, Timestamp>> out;
  for (const auto& [wakes, none] : wakes_) out.emplace_back(address_of(wakes.second), wakes.first);
  return out;
}

}  // namespace cordon::policy
