#include "node/filter/kernel_map.h"

#include <bpf/bpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "node/filter/parallel.h"
#include "node/filter/row_index.h"

namespace cordon::node {
namespace {

constexpr std::size_t kReadBatch = 1u << 16, kWriteBatch = 1u << 14;
/// Above this many rows the whole map is read back rather than each key asked for.
constexpr std::size_t kReadWhole = 1u << 16;

/// Calls `take` with the next rows of the map, until all were read.
template <class Take>
Result<> for_batches(const KernelMap& map, const Rows& shape, const Take& take) {
  Rows batch = shape.shape();
  // A hash map's cursor is 4 bytes, a trie's a key: room for either.
  std::vector<std::uint8_t> cursor(std::max<std::size_t>(shape.key_size, 8));
  for (bool first = true;; first = false) {
    batch.keys.resize(kReadBatch * shape.key_size);
    batch.values.resize(kReadBatch * shape.value_size);
    __u32 count = kReadBatch;
    const int error = bpf_map_lookup_batch(map.fd, first ? nullptr : cursor.data(), cursor.data(),
                                           batch.keys.data(), batch.values.data(), &count, nullptr);
    if (error != 0 && errno != ENOENT) return fail_errno(fmt::format("can't read map '{}'", map.name), errno);
    batch.keys.resize(count * shape.key_size);
    batch.values.resize(count * shape.value_size);
    take(batch);
    if (error != 0) return {};
  }
}

Result<> write_part(const KernelMap& map, const Rows& rows, std::size_t at, std::size_t end) {
  const bpf_map_batch_opts options{.sz = sizeof options};
  for (; at < end; at += kWriteBatch) {
    __u32 count = static_cast<__u32>(std::min(kWriteBatch, end - at));
    if (bpf_map_update_batch(map.fd, rows.key(at), rows.value(at), &count, &options) == 0) continue;
    if (errno == E2BIG || errno == ENOSPC)
      return fail(ErrorCode::exhausted, fmt::format("map '{}' is full", map.name),
                  fmt::format("raise '{}' in [filter.maps] of node.toml", map.name));
    return fail_errno(fmt::format("can't write map '{}'", map.name), errno);
  }
  return {};
}

Result<> remove_part(const KernelMap& map, const Rows& rows, std::size_t at, std::size_t end) {
  const bpf_map_batch_opts options{.sz = sizeof options};
  while (at < end) {
    __u32 count = static_cast<__u32>(std::min(kWriteBatch, end - at));
    const int error = bpf_map_delete_batch(map.fd, rows.key(at), &count, &options);
    if (error != 0 && errno != ENOENT)
      return fail_errno(fmt::format("can't remove from map '{}'", map.name), errno);
    at += count;
    if (error != 0) ++at;  // the one that wasn't there
  }
  return {};
}

/// By reading the whole map; what was read is compared while the next is.
Result<bool> whole_holds(const KernelMap& map, const Rows& rows, bool present) {
  std::optional<RowIndex> index;
  std::size_t found = 0, equal = 0;
  const auto compare = [&](const Rows& batch) {
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const std::uint32_t row = index->find(batch.key(i));
      if (row == RowIndex::kNone) continue;
      ++found;
      if (std::memcmp(rows.value(row), batch.value(i), rows.value_size) == 0) ++equal;
    }
  };
  Beside comparing;
  comparing.run([&] {
    index.emplace(rows.keys.data(), rows.key_size, rows.size());
    for (std::uint32_t i = 0; i < rows.size(); ++i) index->put(i);
  });
  CORDON_TRY(for_batches(map, rows, [&](Rows& batch) {
    comparing.run([&compare, batch = std::exchange(batch, rows.shape())] { compare(batch); });
  }));
  comparing.wait();
  return present ? equal == rows.size() : found == 0;
}

}  // namespace

Result<Rows> KernelMap::read(const Rows& shape) const {
  Rows rows = shape.shape();
  CORDON_TRY(for_batches(*this, shape, [&](const Rows& batch) {
    rows.keys.insert(rows.keys.end(), batch.keys.begin(), batch.keys.end());
    rows.values.insert(rows.values.end(), batch.values.begin(), batch.values.end());
  }));
  return rows;
}

Result<> KernelMap::write(const Rows& rows) const {
  const auto part = [&](std::size_t at, std::size_t end) { return write_part(*this, rows, at, end); };
  return is_trie ? part(0, rows.size()) : in_parallel(rows.size(), part);
}

Result<> KernelMap::remove(const Rows& rows) const {
  const auto part = [&](std::size_t at, std::size_t end) { return remove_part(*this, rows, at, end); };
  return is_trie ? part(0, rows.size()) : in_parallel(rows.size(), part);
}

Result<bool> KernelMap::holds(const Rows& rows, bool present) const {
  if (rows.size() > kReadWhole) return whole_holds(*this, rows, present);
  std::vector<std::uint8_t> value(rows.value_size);
  const auto lacks = [&](std::size_t i) {  // a trie's look-up would find a shorter prefix
    return (is_trie && !present ? bpf_map_delete_elem(fd, rows.key(i))
                                : bpf_map_lookup_elem(fd, rows.key(i), value.data())) != 0;
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool found = !lacks(i);
    if (!found && errno != ENOENT) return fail_errno(fmt::format("can't read map '{}'", name), errno);
    if (found != present) return false;
    if (found && std::memcmp(value.data(), rows.value(i), rows.value_size) != 0) return false;
  }
  return true;
}

}  // namespace cordon::node
