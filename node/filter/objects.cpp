#include "node/filter/objects.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>

#include "base/log.h"
#include "ebpf/cordon.skel.h"
#include "node/filter/layout.h"

namespace cordon::node {
namespace {

constexpr std::string_view kMapPrefix = "map-";
constexpr std::uint32_t kSmallestLru = 1024;

/// libbpf's warnings, kept for the error they explain.
thread_local std::string libbpf_said;

int keep_warning(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN || libbpf_said.size() > 4096) return 0;
  char line[512];
  std::vsnprintf(line, sizeof line, format, arguments);
  libbpf_said += line;
  return 0;
}

std::string last_warning() {
  std::string text = std::exchange(libbpf_said, {});
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const auto cut = text.rfind('\n');
  return cut == std::string::npos ? text : text.substr(cut + 1);
}

void set_sizes(cordon_bpf& skeleton, const MapSizes& sizes) {
  const auto set = [](bpf_map* map, std::uint32_t entries) { bpf_map__set_max_entries(map, entries); };
  set(skeleton.maps.principals, sizes.principals);
  set(skeleton.maps.targets, sizes.targets);
  set(skeleton.maps.grants, sizes.grants);
  set(skeleton.maps.grant_ranges, sizes.grant_ranges);
  set(skeleton.maps.flows, sizes.flows);
  set(skeleton.maps.underlay_flows, std::max(sizes.flows / 4, kSmallestLru));
  set(skeleton.maps.rule_counters, sizes.rule_counters);
  set(skeleton.maps.events, sizes.events_bytes);
}

std::string pin_name(const bpf_map* map, const std::string& hash) {
  return fmt::format("{}{}-{}", kMapPrefix, bpf_map__name(map), hash);
}

}  // namespace

struct Objects::Skeleton {
  cordon_bpf* bpf = nullptr;
  ~Skeleton() { cordon_bpf__destroy(bpf); }
};

Objects::Objects(std::unique_ptr<Skeleton> skeleton) : skeleton_(std::move(skeleton)) {}
Objects::~Objects() = default;

Result<std::unique_ptr<Objects>> Objects::load(const std::filesystem::path& pin_directory,
                                               const MapSizes& sizes) {
  libbpf_set_print(keep_warning);
  libbpf_said.clear();
  auto skeleton = std::make_unique<Skeleton>();
  skeleton->bpf = cordon_bpf__open();
  if (skeleton->bpf == nullptr) return fail_errno("can't read the embedded BPF object", errno);
  set_sizes(*skeleton->bpf, sizes);
  const std::string hash = layout_hash(sizes);
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, skeleton->bpf->obj) {
    const std::string path = (pin_directory / pin_name(map, hash)).string();
    if (bpf_map__set_pin_path(map, path.c_str()) != 0) return fail_errno("can't name a map's pin", errno);
  }
  if (const int error = cordon_bpf__load(skeleton->bpf); error != 0) {
    const auto missing = missing_filter_capabilities();
    return fail_errno(fmt::format("can't load the filter ({})", last_warning()), -error,
                      missing.empty() ? std::string{} : fmt::format("needs {}", fmt::join(missing, ", ")));
  }
  return std::unique_ptr<Objects>(new Objects(std::move(skeleton)));
}

int Objects::map(const char* name) const {
  return bpf_object__find_map_fd_by_name(skeleton_->bpf->obj, name);
}

int Objects::program(const char* name) const {
  const bpf_program* program = bpf_object__find_program_by_name(skeleton_->bpf->obj, name);
  return program == nullptr ? -1 : bpf_program__fd(program);
}

std::vector<std::string> Objects::repin_maps() const {
  std::vector<std::string> found;
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, skeleton_->bpf->obj) {
    const char* path = bpf_map__pin_path(map);
    if (path == nullptr || ::access(path, F_OK) == 0) continue;
    const bool pinned = bpf_obj_pin(bpf_map__fd(map), path) == 0;
    found.push_back(
        fmt::format("map '{}' was not pinned{}", bpf_map__name(map), pinned ? "" : " and can't be"));
  }
  return found;
}

std::vector<std::filesystem::path> foreign_map_pins(const std::filesystem::path& pin_directory,
                                                    const MapSizes& sizes) {
  std::vector<std::filesystem::path> out;
  const std::string ours = "-" + layout_hash(sizes);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(pin_directory, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kMapPrefix) && !name.ends_with(ours)) out.push_back(entry.path());
  }
  return out;
}

std::vector<std::string> missing_filter_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  std::vector<std::string> out;
  if (::syscall(SYS_capget, &header, data) != 0) return out;
  const auto has = [&](unsigned cap) { return (data[cap / 32].effective >> (cap % 32) & 1u) != 0; };
  if (!has(CAP_BPF)) out.emplace_back("CAP_BPF");
  if (!has(CAP_PERFMON)) out.emplace_back("CAP_PERFMON");
  if (!has(CAP_NET_ADMIN)) out.emplace_back("CAP_NET_ADMIN");
  return out;
}

}  // namespace cordon::node
