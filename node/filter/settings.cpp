#include "node/filter/settings.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

namespace cordon::node {
namespace {

std::size_t page_size() {
  return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

template <class T>
void store(T& field, T value) {
  std::atomic_ref<T>(field).store(value, std::memory_order_release);
}

template <class T>
T load(T& field) {
  return std::atomic_ref<T>(field).load(std::memory_order_acquire);
}

__u64 flags_word(std::uint64_t generation, std::uint32_t flags) {
  return generation << CORDON_SETTINGS_FLAG_BITS | flags;
}

}  // namespace

Result<SettingsMap> SettingsMap::map(int map_fd) {
  void* at = ::mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
  if (at == MAP_FAILED) return fail_errno("can't map 'settings'", errno);
  return SettingsMap(static_cast<cordon_settings*>(at));
}

SettingsMap::SettingsMap(SettingsMap&& other) noexcept : settings_(std::exchange(other.settings_, nullptr)) {}

SettingsMap::~SettingsMap() {
  if (settings_ != nullptr) ::munmap(settings_, page_size());
}

cordon_settings SettingsMap::read() const {
  return {.epoch = load(settings_->epoch),
          .pad = 0,
          .flags = load(settings_->flags),
          .confirmed_ns = load(settings_->confirmed_ns),
          .node_lease_ns = load(settings_->node_lease_ns)};
}

std::uint64_t SettingsMap::generation() const {
  return load(settings_->flags) >> CORDON_SETTINGS_FLAG_BITS;
}

void SettingsMap::set_flags(std::uint32_t flags) {
  store(settings_->flags, flags_word(generation(), flags));
}

void SettingsMap::turn(std::uint32_t flags, std::uint64_t node_lease_ns) {
  if (node_lease_ns < load(settings_->node_lease_ns)) set_node_lease_ns(node_lease_ns);
  store(settings_->flags, flags_word(generation() + 1, flags));
  // Nobody may see the removals that follow and not the turn. (What came before it, the store itself keeps
  // in front.)
  std::atomic_thread_fence(std::memory_order_seq_cst);
  set_node_lease_ns(node_lease_ns);
}

void SettingsMap::set_node_lease_ns(std::uint64_t lease) {
  store(settings_->node_lease_ns, __u64{lease});
}

void SettingsMap::confirm(BootNs at) {
  if (at > load(settings_->confirmed_ns)) store(settings_->confirmed_ns, __u64{at});
}

void SettingsMap::raise_epoch() {
  std::atomic_ref(settings_->epoch).fetch_add(1, std::memory_order_acq_rel);
}

}  // namespace cordon::node
