#include "node/filter/kernel_map.h"

#include <bpf/bpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <utility>

#include "node/filter/parallel.h"

namespace cordon::node {
namespace {

constexpr std::size_t kReadBatch = 1u << 16, kWriteBatch = 1u << 14;

/// Where a read begins and ends. A hash map's cursor is the number of a bucket, so that it may begin at any.
struct Buckets {
  std::uint32_t first = 0;
  std::uint32_t end = ~0u;  ///< of the last part: whatever there is
};

/// Calls `take` with the next rows of the map, until all of these buckets, and perhaps some more, were read.
template <class Take>
Result<> for_batches(const KernelMap& map, const Rows& shape, const Buckets& buckets, const Take& take) {
  Rows batch = shape.shape();
  // A hash map's cursor is 4 bytes, a trie's a key: room for either.
  std::vector<std::uint8_t> cursor(std::max<std::size_t>(shape.key_size, 8));
  std::uint32_t bucket = buckets.first;
  std::memcpy(cursor.data(), &bucket, sizeof bucket);
  for (bool first = bucket == 0;; first = false) {
    batch.keys.resize(kReadBatch * shape.key_size);
    batch.values.resize(kReadBatch * shape.value_size);
    __u32 count = kReadBatch;
    const int error = bpf_map_lookup_batch(map.fd, first ? nullptr : cursor.data(), cursor.data(),
                                           batch.keys.data(), batch.values.data(), &count, nullptr);
    if (error != 0 && errno != ENOENT) return fail_errno(fmt::format("can't read map '{}'", map.name), errno);
    batch.keys.resize(count * shape.key_size);
    batch.values.resize(count * shape.value_size);
    take(batch);
    std::memcpy(&bucket, cursor.data(), sizeof bucket);
    if (error != 0 || (!map.is_trie && bucket >= buckets.end)) return {};
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

/// What was read from some bucket on.
struct SummedPart {
  RowSum sum;  ///< without the last batch
  std::vector<std::uint8_t> first_key;
  Rows last;
};

Result<> sum_part(const KernelMap& map, const Buckets& buckets, const SumUp& sum_up, SummedPart& part) {
  return for_batches(map, part.last, buckets, [&](Rows& batch) {
    if (batch.empty()) return;
    if (part.first_key.empty()) part.first_key.assign(batch.key(0), batch.key(1));
    std::swap(part.last, batch);
    part.sum += sum_up(batch);
  });
}

/// Takes away what was read past a part's end: it is what the next part begins with.
void cut_at(Rows& rows, const std::vector<std::uint8_t>& key) {
  for (std::size_t i = 0; i < rows.size() && !key.empty(); ++i) {
    if (std::memcmp(rows.key(i), key.data(), key.size()) != 0) continue;
    rows.keys.resize(i * rows.key_size);
    rows.values.resize(i * rows.value_size);
  }
}

}  // namespace

Result<Rows> KernelMap::read(const Rows& shape) const {
  Rows rows = shape.shape();
  CORDON_TRY(for_batches(*this, shape, {}, [&](const Rows& batch) {
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
  std::atomic<bool> differs{false};
  const auto part = [&](std::size_t at, std::size_t end) -> Result<> {
    std::vector<std::uint8_t> value(rows.value_size);
    for (; at < end && !differs; ++at) {
      // A trie's look-up would find a shorter prefix.
      const int lacks = is_trie && !present ? bpf_map_delete_elem(fd, rows.key(at))
                                            : bpf_map_lookup_elem(fd, rows.key(at), value.data());
      if (lacks != 0 && errno != ENOENT) return fail_errno(fmt::format("can't read map '{}'", name), errno);
      const bool found = lacks == 0;
      if (found != present || (found && std::memcmp(value.data(), rows.value(at), rows.value_size) != 0))
        differs = true;
    }
    return {};
  };
  CORDON_TRY(is_trie ? part(0, rows.size()) : in_parallel(rows.size(), part));
  return !differs;
}

Result<RowSum> KernelMap::sum(const Rows& shape, const SumUp& sum_up, std::size_t parts) const {
  if (is_trie) parts = 1;
  bpf_map_info info{};
  __u32 size = sizeof info;
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0)
    return fail_errno(fmt::format("can't ask for map '{}'", name), errno);
  const auto start = [&](std::size_t part) {
    return static_cast<std::uint32_t>(std::bit_ceil(std::uint64_t{info.max_entries}) * part / parts);
  };
  std::vector<SummedPart> read(parts, {.sum = {}, .first_key = {}, .last = shape.shape()});
  CORDON_TRY(at_once(parts, [&](std::size_t i) {
    Buckets buckets{.first = start(i)};
    if (i + 1 < parts) buckets.end = start(i + 1);
    return sum_part(*this, buckets, sum_up, read[i]);
  }));
  RowSum all;
  for (std::size_t i = 0; i < parts; ++i) {
    if (i + 1 < parts) cut_at(read[i].last, read[i + 1].first_key);
    all += read[i].sum;
    all += sum_up(read[i].last);
  }
  return all;
}

Result<bool> KernelMap::says(const RowSum& wanted, const Rows& shape, const SumUp& sum_up) const {
  CORDON_ASSIGN(RowSum read, sum(shape, sum_up, worker_threads()));
  if (read == wanted) return true;
  // In one go a cursor needs no meaning: should a kernel give it another one day.
  CORDON_ASSIGN(read, sum(shape, sum_up, 1));
  return read == wanted;
}

}  // namespace cordon::node
