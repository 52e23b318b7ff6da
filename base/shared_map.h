#pragma once
// An ordered map that is copied at the cost of a pointer per block: copies share what neither has changed
// since. For what one thread changes while others read it as it was.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

namespace cordon {

/// Entries lie in blocks, in order, each made on its own. Whatever existed when a copy was made belongs to
/// nobody from then on: who changes it next makes its own, a block's pointers and the one entry. Otherwise an
/// entry stays where it is until it is erased. Threads may use two copies at once, and read one at once.
///
/// Iterators and lookups are O(log n) and good until the next change of the map; references to entries until
/// the entry is changed or erased. A change is O(log n) and, where a copy was made since, of kMost pointers.
template <class Key, class Value>
class SharedMap {
  static constexpr std::size_t kMost = 128;  ///< entries in a block
  struct Item;
  struct Block;

 public:
  using key_type = Key;
  using mapped_type = Value;
  using value_type = std::pair<const Key, Value>;

  class const_iterator {
   public:
    using iterator_category = std::bidirectional_iterator_tag;
    using value_type = SharedMap::value_type;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = const value_type&;

    const_iterator() = default;
    reference operator*() const { return map_->blocks_[block_]->items[place_]->entry; }
    pointer operator->() const { return &**this; }
    const_iterator& operator++() {
      if (++place_ == map_->blocks_[block_]->items.size()) {
        ++block_;
        place_ = 0;
      }
      return *this;
    }
    const_iterator operator++(int) {
      const const_iterator before = *this;
      ++*this;
      return before;
    }
    const_iterator& operator--() {
      if (place_ == 0) place_ = map_->blocks_[--block_]->items.size();
      --place_;
      return *this;
    }
    const_iterator operator--(int) {
      const const_iterator before = *this;
      --*this;
      return before;
    }
    bool operator==(const const_iterator& other) const {
      return block_ == other.block_ && place_ == other.place_;
    }

   private:
    friend SharedMap;
    const_iterator(const SharedMap* map, std::size_t block, std::size_t place)
        : map_(map), block_(block), place_(place) {}
    const SharedMap* map_ = nullptr;
    std::size_t block_ = 0, place_ = 0;
  };
  using iterator = const_iterator;

  SharedMap() = default;
  SharedMap(const SharedMap& other) : blocks_(other.blocks_), size_(other.size_) {
    other.owner_ = new_owner();
  }
  SharedMap(SharedMap&& other) noexcept { swap(other); }
  SharedMap& operator=(SharedMap other) noexcept {
    swap(other);
    return *this;
  }
  void swap(SharedMap& other) noexcept {
    blocks_.swap(other.blocks_);
    std::swap(size_, other.size_);
    other.owner_ = owner_.exchange(other.owner_);
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const_iterator begin() const { return {this, 0, 0}; }
  const_iterator end() const { return {this, blocks_.size(), 0}; }

  /// The first entry whose key isn't before `key`.
  const_iterator lower_bound(const Key& key) const {
    const auto block = std::ranges::lower_bound(
        blocks_, key, {}, [](const auto& b) -> const Key& { return b->items.back()->entry.first; });
    if (block == blocks_.end()) return end();
    return {this, static_cast<std::size_t>(block - blocks_.begin()), place_in(**block, key)};
  }
  /// The first behind `key`.
  const_iterator upper_bound(const Key& key) const {
    const_iterator found = lower_bound(key);
    if (found != end() && found->first == key) ++found;
    return found;
  }
  const_iterator find(const Key& key) const {
    const const_iterator found = lower_bound(key);
    return found != end() && found->first == key ? found : end();
  }
  bool contains(const Key& key) const { return find(key) != end(); }
  const Value& at(const Key& key) const {
    const const_iterator found = find(key);
    if (found == end()) throw std::out_of_range("SharedMap::at");
    return found->second;
  }
  /// The value as it is now, for as long as it is held; null: there is none.
  std::shared_ptr<const Value> share(const Key& key) const {
    const const_iterator found = find(key);
    if (found == end()) return nullptr;
    const std::shared_ptr<Item>& item = blocks_[found.block_]->items[found.place_];
    return {item, &item->entry.second};
  }

  /// The value, to be changed.
  Value& at(const Key& key) {
    const const_iterator found = find(key);
    if (found == end()) throw std::out_of_range("SharedMap::at");
    return own(found);
  }
  Value& operator[](const Key& key) { return own(try_emplace(key).first); }
  template <class... Args>
  std::pair<const_iterator, bool> try_emplace(const Key& key, Args&&... args) {
    const const_iterator found = lower_bound(key);
    if (found != end() && found->first == key) return {found, false};
    return {insert(found, std::make_shared<Item>(owner_, key, std::forward<Args>(args)...)), true};
  }
  template <class V>
  std::pair<const_iterator, bool> emplace(const Key& key, V&& value) {
    return try_emplace(key, std::forward<V>(value));
  }
  std::size_t erase(const Key& key) {
    const const_iterator found = find(key);
    if (found == end()) return 0;
    erase(found);
    return 1;
  }
  void erase(const_iterator at) {
    Block& block = own_block(at.block_);
    block.items.erase(block.items.begin() + static_cast<std::ptrdiff_t>(at.place_));
    --size_;
    if (block.items.empty()) {
      blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(at.block_));
    } else if (block.items.size() < kMost / 4) {
      join(at.block_ == 0 ? 0 : at.block_ - 1);
    }
  }
  void clear() { *this = SharedMap(); }

  bool operator==(const SharedMap& other) const {
    return size_ == other.size_ && std::equal(begin(), end(), other.begin());
  }

 private:
  struct Item {
    template <class... Args>
    Item(std::uint64_t of, const Key& key, Args&&... args)
        : owner(of),
          entry(std::piecewise_construct, std::forward_as_tuple(key),
                std::forward_as_tuple(std::forward<Args>(args)...)) {}
    std::uint64_t owner;
    value_type entry;
  };
  struct Block {
    std::uint64_t owner = 0;
    std::vector<std::shared_ptr<Item>> items;  ///< never empty
  };

  static std::uint64_t new_owner() {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
  }

  static std::size_t place_in(const Block& block, const Key& key) {
    const auto found = std::ranges::lower_bound(
        block.items, key, {}, [](const auto& item) -> const Key& { return item->entry.first; });
    return static_cast<std::size_t>(found - block.items.begin());
  }

  Block& own_block(std::size_t number) {
    std::shared_ptr<Block>& block = blocks_[number];
    if (block->owner != owner_) {
      block = std::make_shared<Block>(*block);
      block->owner = owner_;
    }
    return *block;
  }

  Value& own(const const_iterator& at) {
    std::shared_ptr<Item>& item = own_block(at.block_).items[at.place_];
    if (item->owner != owner_) {
      item = std::make_shared<Item>(*item);
      item->owner = owner_;
    }
    return item->entry.second;
  }

  const_iterator insert(const_iterator before, std::shared_ptr<Item> item) {
    ++size_;
    if (blocks_.empty()) {
      blocks_.push_back(std::make_shared<Block>());
      blocks_.back()->owner = owner_;
    }
    std::size_t number = before.block_, place = before.place_;
    if (number == blocks_.size()) place = blocks_[--number]->items.size();  // behind all
    Block& block = own_block(number);
    block.items.insert(block.items.begin() + static_cast<std::ptrdiff_t>(place), std::move(item));
    if (block.items.size() <= kMost) return {this, number, place};
    const std::size_t kept = split(number);
    return place < kept ? const_iterator{this, number, place}
                        : const_iterator{this, number + 1, place - kept};
  }

  /// How many stay in the first half.
  std::size_t split(std::size_t number) {
    Block& first = *blocks_[number];
    auto second = std::make_shared<Block>();
    second->owner = owner_;
    const auto half = first.items.begin() + static_cast<std::ptrdiff_t>(first.items.size() / 2);
    second->items.assign(std::move_iterator(half), std::move_iterator(first.items.end()));
    first.items.erase(half, first.items.end());
    const std::size_t kept = first.items.size();
    blocks_.insert(blocks_.begin() + static_cast<std::ptrdiff_t>(number) + 1, std::move(second));
    return kept;
  }

  /// A block and the one behind it, where they fit well into one.
  void join(std::size_t number) {
    if (number + 1 >= blocks_.size()) return;
    const Block& second = *blocks_[number + 1];
    if (blocks_[number]->items.size() + second.items.size() > kMost / 2) return;
    Block& first = own_block(number);
    first.items.insert(first.items.end(), second.items.begin(), second.items.end());
    blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(number) + 1);
  }

  std::vector<std::shared_ptr<Block>> blocks_;
  std::size_t size_ = 0;
  /// Blocks and items of this owner may be changed in place. Copying gives both sides another; so reading
  /// threads may copy too.
  mutable std::atomic<std::uint64_t> owner_ = new_owner();
};

}  // namespace cordon
