#pragma once
// A bounded queue of reports that keeps count when it can't keep all.

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <utility>

namespace cordon {

/// First in, first out. Items of two sorts have places of their own, so that a flood of one leaves the other
/// alone: those with a key may stand for others of it, the rest for themselves. When half of the places for
/// items with a key are taken, one more is added to the latest of its key that waits. When all are taken, one
/// of a key that doesn't wait is made one of the others (`Fold::make_other`), which are few keys and have an
/// eighth of the places besides. So nothing with a key is lost, and none loses its key while fewer keys than
/// half of the places wait; what has no place otherwise takes the oldest's of its sort, which is counted as
/// lost. All in constant time.
///
/// `Fold` says what may be added up: `Fold::Key` with `Fold::Hash`; `key(item)`, none for what stands for
/// itself alone; `add(into, item)`; `make_other(item)`, takes from it what makes keys many; and
/// `count(item)`, how many happenings an item tells of.
template <class Item, class Fold>
class FoldingQueue {
 public:
  /// So many places for each of the two sorts.
  explicit FoldingQueue(std::size_t places) : places_(places) {}

  void push(Item item) {
    if (!Fold::key(item)) return append(single_, std::move(item), places_);
    if (2 * keyed_.size() >= places_ && add_to_latest(item)) return;
    if (keyed_.size() >= places_) {
      Fold::make_other(item);
      if (add_to_latest(item)) return;
    }
    auto key = *Fold::key(item);
    append(keyed_, std::move(item), places_ + places_ / 8 + 1);
    latest_.insert_or_assign(std::move(key), first_keyed_ + keyed_.size() - 1);
  }

  /// The oldest; there is one.
  Item pop() {
    const bool keyed = single_.empty() || (!keyed_.empty() && keyed_.front().first < single_.front().first);
    return take(keyed ? keyed_ : single_);
  }

  bool empty() const { return keyed_.empty() && single_.empty(); }
  std::size_t size() const { return keyed_.size() + single_.size(); }
  /// Happenings that no item tells of any more.
  std::uint64_t lost() const { return lost_; }

 private:
  using Places = std::deque<std::pair<std::uint64_t, Item>>;  ///< with their turns

  bool add_to_latest(const Item& item) {
    const auto found = latest_.find(*Fold::key(item));
    if (found == latest_.end()) return false;
    Fold::add(keyed_[found->second - first_keyed_].second, item);
    return true;
  }

  void append(Places& to, Item item, std::size_t most) {
    if (to.size() >= most) lost_ += Fold::count(take(to));
    to.emplace_back(next_turn_++, std::move(item));
  }

  Item take(Places& from) {
    Item item = std::move(from.front().second);
    from.pop_front();
    if (&from != &keyed_) return item;
    const auto found = latest_.find(*Fold::key(item));
    if (found != latest_.end() && found->second == first_keyed_) latest_.erase(found);
    ++first_keyed_;
    return item;
  }

  const std::size_t places_;
  Places keyed_, single_;
  std::uint64_t next_turn_ = 0;
  std::uint64_t first_keyed_ = 0;  ///< the number of the oldest with a key; numbers are never used again
  std::unordered_map<typename Fold::Key, std::uint64_t, typename Fold::Hash> latest_;
  std::uint64_t lost_ = 0;
};

}  // namespace cordon
