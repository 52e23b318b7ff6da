#include "node/filter/carry.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <string_view>
#include <utility>

#include "node/filter/cpus.h"
#include "node/filter/kernel_map.h"

namespace cordon::node {
namespace {

constexpr std::size_t kCarryBatch = 1u << 16;

bool is_array(std::uint32_t type) {
  return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

bool is_per_cpu(std::uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH;
}

/// Per-CPU values are handed out in steps of 8 bytes.
std::size_t stride(const MapFacts& facts) {
  return is_per_cpu(facts.type) ? (facts.value_size + 7u) / 8u * 8u : facts.value_size;
}

std::size_t copies(const MapFacts& facts) {
  return is_per_cpu(facts.type) ? possible_cpus() : 1;
}

/// Two flows of one hash: the later one is not taken over. With 262,144 flows that is one start in 500
/// million.
std::uint64_t hash_of(const std::uint8_t* key, std::size_t size) {
  return std::hash<std::string_view>{}({reinterpret_cast<const char*>(key), size});
}

/// Calls `sink(keys, values, count)` with all rows, some at a time.
template <class Sink>
Result<> read_batches(int fd, const MapFacts& facts, Sink sink) {
  const std::size_t batch = std::min<std::size_t>(kCarryBatch, std::max<std::uint32_t>(facts.entries, 64));
  std::vector<std::uint8_t> keys(batch * facts.key_size), values(batch * stride(facts) * copies(facts));
  // A hash map's cursor is 4 bytes, a trie's a key: room for either.
  std::vector<std::uint8_t> cursor(std::max<std::size_t>(facts.key_size, 8));
  for (bool first = true;; first = false) {
    __u32 count = static_cast<__u32>(batch);
    const int error = bpf_map_lookup_batch(fd, first ? nullptr : cursor.data(), cursor.data(), keys.data(),
                                           values.data(), &count, nullptr);
    if (error != 0 && errno != ENOENT) return fail_errno("can't read a map of another layout", errno);
    CORDON_TRY(sink(keys.data(), values.data(), std::size_t{count}));
    if (error != 0) return {};
  }
}

}  // namespace

bool evicts(std::uint32_t map_type) {
  return map_type == BPF_MAP_TYPE_LRU_HASH || map_type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

Result<std::size_t> count_rows(int fd) {
  CORDON_ASSIGN(const MapFacts facts, map_facts(fd));
  std::size_t rows = 0;
  CORDON_TRY(read_batches(fd, facts, [&](const auto*, const auto*, std::size_t count) -> Result<> {
    rows += count;
    return {};
  }));
  return rows;
}

Result<Carry> Carry::between(Descriptor from, int into, const RowConversion& conversion, bool fresh) {
  Carry out(std::move(from), into, conversion);
  CORDON_ASSIGN(out.from_facts_, map_facts(out.from_.get()));
  CORDON_ASSIGN(out.into_facts_, map_facts(into));
  if (is_array(out.from_facts_.type) != is_array(out.into_facts_.type) ||
      is_per_cpu(out.from_facts_.type) != is_per_cpu(out.into_facts_.type))
    return fail(ErrorCode::conflict, "a map that became one of another kind");
  if (is_array(out.into_facts_.type) && out.from_facts_.entries != out.into_facts_.entries)
    return fail(ErrorCode::conflict, "an array of another length, whose places may mean something else");
  out.fresh_ = fresh;
  return out;
}

Result<> Carry::pass() {
  if (std::exchange(begun_, true) && !evicts(from_facts_.type)) return {};
  CORDON_TRY(read_batches(
      from_.get(), from_facts_,
      [this](const auto* keys, const auto* values, std::size_t n) { return take(keys, values, n); }));
  fresh_ = false;
  return {};
}

Result<> Carry::take(const std::uint8_t* keys, const std::uint8_t* values, std::size_t count) {
  const std::size_t from_row = stride(from_facts_) * copies(from_facts_);
  const std::size_t into_row = stride(into_facts_) * copies(into_facts_);
  Rows rows{.key_size = into_facts_.key_size, .value_size = into_row, .keys = {}, .values = {}};
  rows.reserve(count);
  std::vector<std::uint8_t> key(into_facts_.key_size), value(into_row);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* old_key = keys + i * from_facts_.key_size;
    if (evicts(from_facts_.type) && !taken_.insert(hash_of(old_key, from_facts_.key_size)).second) continue;
    conversion_.key(old_key, key.data());
    for (std::size_t cpu = 0; cpu < copies(from_facts_); ++cpu)
      conversion_.value(values + i * from_row + cpu * stride(from_facts_),
                        value.data() + cpu * stride(into_facts_));
    rows.add_raw(key.data(), value.data());
  }
  return write(rows);
}

Result<> Carry::write(const Rows& rows) const {
  const bool array = is_array(into_facts_.type);
  if (fresh_ && !array)
    return KernelMap{.fd = into_, .name = "of ours", .is_trie = into_facts_.type == BPF_MAP_TYPE_LPM_TRIE}
        .write(rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (bpf_map_update_elem(into_, rows.key(i), rows.value(i), array ? BPF_ANY : BPF_NOEXIST) == 0) continue;
    if (errno == EEXIST) continue;
    return fail_errno("can't fill a map from one of another layout", errno);
  }
  return {};
}

}  // namespace cordon::node
