#pragma once
// Rows of a kernel map as the batch calls want them: keys in one array, values in another.

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

namespace cordon::node {

struct Rows {
  std::size_t key_size = 0, value_size = 0;
  std::vector<std::uint8_t> keys, values;

  std::size_t size() const { return key_size == 0 ? 0 : keys.size() / key_size; }
  bool empty() const { return keys.empty(); }
  const std::uint8_t* key(std::size_t i) const { return keys.data() + i * key_size; }
  const std::uint8_t* value(std::size_t i) const { return values.data() + i * value_size; }
  Rows shape() const { return {.key_size = key_size, .value_size = value_size, .keys = {}, .values = {}}; }

  void reserve(std::size_t rows) {
    keys.reserve(rows * key_size);
    values.reserve(rows * value_size);
  }
  void add_raw(const void* new_key, const void* new_value) {
    const auto* k = static_cast<const std::uint8_t*>(new_key);
    const auto* v = static_cast<const std::uint8_t*>(new_value);
    keys.insert(keys.end(), k, k + key_size);
    values.insert(values.end(), v, v + value_size);
  }
  template <class K, class V>
  void add(const K& new_key, const V& new_value) {
    static_assert(std::is_trivially_copyable_v<K> && std::is_trivially_copyable_v<V>);
    add_raw(&new_key, &new_value);
  }

  /// One row a key: of equal keys the last added stays.
  void make_unique();
};

/// What turns `have` into `want` (each with one row a key).
struct RowsDifference {
  Rows added;                ///< keys that `have` lacks
  Rows overwritten, before;  ///< the same keys in both: new values, old values
  Rows removed;              ///< with the values they had
};
RowsDifference difference(Rows have, Rows want);

}  // namespace cordon::node
