#include "node/filter/kernel_map.h"

#include <bpf/bpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace cordon::node {
namespace {

constexpr std::size_t kBatch = 1u << 16;
/// Above this many rows the whole map is read back rather than each key asked for.
constexpr std::size_t kReadWhole = 4096;

}  // namespace

Result<Rows> KernelMap::read(const Rows& shape) const {
  Rows rows{.key_size = shape.key_size, .value_size = shape.value_size, .keys = {}, .values = {}};
  std::vector<std::uint8_t> keys(kBatch * shape.key_size), values(kBatch * shape.value_size);
  // A hash map's cursor is 4 bytes, a trie's a key: room for either.
  std::vector<std::uint8_t> cursor(std::max<std::size_t>(shape.key_size, 8));
  for (bool first = true;; first = false) {
    __u32 count = kBatch;
    const int error = bpf_map_lookup_batch(fd, first ? nullptr : cursor.data(), cursor.data(), keys.data(),
                                           values.data(), &count, nullptr);
    if (error != 0 && errno != ENOENT) return fail_errno(fmt::format("can't read map '{}'", name), errno);
    rows.keys.insert(rows.keys.end(), keys.begin(),
                     keys.begin() + static_cast<std::ptrdiff_t>(count * shape.key_size));
    rows.values.insert(rows.values.end(), values.begin(),
                       values.begin() + static_cast<std::ptrdiff_t>(count * shape.value_size));
    if (error != 0) break;
  }
  rows.sort();
  return rows;
}

Result<> KernelMap::write(const Rows& rows) const {
  const bpf_map_batch_opts options{.sz = sizeof options};
  for (std::size_t at = 0; at < rows.size(); at += kBatch) {
    __u32 count = static_cast<__u32>(std::min(kBatch, rows.size() - at));
    if (bpf_map_update_batch(fd, rows.key(at), rows.value(at), &count, &options) == 0) continue;
    if (errno == E2BIG || errno == ENOSPC)
      return fail(ErrorCode::exhausted, fmt::format("map '{}' is full", name),
                  fmt::format("raise '{}' in [filter.maps] of node.toml", name));
    return fail_errno(fmt::format("can't write map '{}'", name), errno);
  }
  return {};
}

Result<> KernelMap::remove(const Rows& rows) const {
  const bpf_map_batch_opts options{.sz = sizeof options};
  std::size_t at = 0;
  while (at < rows.size()) {
    __u32 count = static_cast<__u32>(std::min(kBatch, rows.size() - at));
    const int error = bpf_map_delete_batch(fd, rows.key(at), &count, &options);
    if (error != 0 && errno != ENOENT)
      return fail_errno(fmt::format("can't remove from map '{}'", name), errno);
    at += count;
    if (error != 0) ++at;  // the one that wasn't there
  }
  return {};
}

Result<bool> KernelMap::holds(const Rows& rows, bool present) const {
  if (rows.size() > kReadWhole) {
    CORDON_ASSIGN(const Rows all, read(rows));
    Rows asked = rows;
    asked.sort();
    const RowsDifference d = difference(all, asked);
    return present ? d.added.empty() && d.overwritten.empty() : d.added.size() == asked.size();
  }
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
