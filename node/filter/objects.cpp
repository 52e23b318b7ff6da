#include "node/filter/objects.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>

#include "base/log.h"
#include "ebpf/cordon.skel.h"
#include "node/filter/attachment.h"

namespace cordon::node {
namespace {

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

std::uint32_t entries_asked(std::string_view map, const MapSizes& sizes, std::uint32_t as_built) {
  if (map == "principals") return sizes.principals;
  if (map == "targets") return sizes.targets;
  if (map == "grants") return sizes.grants;
  if (map == "grant_ranges") return sizes.grant_ranges;
  if (map == "flows") return sizes.flows;
  if (map == "underlay_flows") return std::max(sizes.flows / 4, kSmallestLru);
  if (map == "rule_counters") return sizes.rule_counters;
  if (map == "events") return sizes.events_bytes;
  return as_built;
}

/// A row that doesn't fit is lost with its access: maps of these kinds refuse it.
bool refuses_when_full(std::uint32_t type) {
  return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LPM_TRIE;
}

/// The pinned map, when it is what its pin's name says.
Descriptor pinned_map(const std::filesystem::path& path, const MapLayout& layout, std::uint32_t entries) {
  Descriptor map(bpf_obj_get(path.c_str()));
  if (!map) return {};
  const auto facts = map_facts(map.get());
  const bool same = facts && facts->type == layout.type && facts->entries == entries &&
                    facts->key_size == layout.key_size && facts->value_size == layout.value_size;
  return same ? std::move(map) : Descriptor();
}

}  // namespace

std::span<const std::byte> built_in_programs() {
  std::size_t size = 0;
  const void* data = cordon_bpf::elf_bytes(&size);
  return {static_cast<const std::byte*>(data), size};
}

void Objects::FreeObject::operator()(bpf_object* object) const {
  bpf_object__close(object);
}

Objects::~Objects() = default;

Result<Objects::Object> Objects::open(std::span<const std::byte> programs) {
  libbpf_set_print(keep_warning);
  libbpf_said.clear();
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "cordon");
  Object object(bpf_object__open_mem(programs.data(), programs.size(), &options));
  if (!object) return fail_errno("can't read the embedded BPF object", errno);
  return object;
}

Result<> Objects::load_programs() const {
  const int error = bpf_object__load(object_.get());
  if (error == 0) return {};
  const auto missing = missing_filter_capabilities();
  return fail_errno(fmt::format("can't load the filter ({})", last_warning()), -error,
                    missing.empty() ? std::string{} : fmt::format("needs {}", fmt::join(missing, ", ")));
}

Result<> Objects::choose(bpf_map* map, std::uint32_t entries) {
  Place place{.map = map, .layout = {}, .pin = {}, .adopted = false, .others = {}};
  CORDON_ASSIGN(place.layout, layout_of(map, bpf_object__btf(object_.get())));
  const std::string name = bpf_map__name(map);
  for (const auto& path : map_pins(pins_))
    if (auto pin = MapPin::parse(path.filename().string()); pin && pin->map == name)
      place.others.push_back(std::move(*pin));
  // A smaller map must hold what the larger one does. If it can't, the larger one's size stays.
  const std::uint32_t asked = entries;
  for (const MapPin& other : place.others) {
    if (!refuses_when_full(place.layout.type) || other.entries <= asked) continue;
    const Descriptor held(bpf_obj_get((pins_ / other.file_name()).c_str()));
    if (!held) continue;
    CORDON_ASSIGN(const std::size_t rows, count_rows(held.get()));
    if (rows <= asked) continue;
    entries = std::max(entries, other.entries);
    notes_.push_back(
        fmt::format("map '{}' has {} entries and keeps its room for {}: '{} = {}' in node.toml waits", name,
                    rows, other.entries, name, asked));
  }
  if (bpf_map__set_max_entries(map, entries) != 0) return fail_errno("can't size a map", errno);
  place.pin = {.map = name, .layout = place.layout.hash(), .entries = entries};
  std::erase(place.others, place.pin);
  if (const Descriptor held = pinned_map(pins_ / place.pin.file_name(), place.layout, entries)) {
    if (bpf_map__reuse_fd(map, held.get()) != 0) return fail_errno("can't adopt a pinned map", errno);
    place.adopted = true;
  }
  places_.push_back(std::move(place));
  return {};
}

Result<std::unique_ptr<Objects>> Objects::load(const std::filesystem::path& pin_directory,
                                               const MapSizes& sizes, const LoadOptions& options) {
  CORDON_ASSIGN(Object object, open(options.programs));
  std::unique_ptr<Objects> out(new Objects(pin_directory, options.programs, std::move(object)));
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, out->object_.get()) {
    const bool wanted = options.only.empty() ||
                        std::ranges::find(options.only, bpf_program__name(program)) != options.only.end();
    bpf_program__set_autoload(program, wanted);
  }
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, out->object_.get()) {
    if (bpf_map__is_internal(map)) continue;
    CORDON_TRY(out->choose(map, entries_asked(bpf_map__name(map), sizes, bpf_map__max_entries(map))));
  }
  CORDON_TRY(out->load_programs());
  CORDON_TRY(out->fill(options));
  return out;
}

Result<std::unique_ptr<Objects>> Objects::again() const {
  CORDON_ASSIGN(Object object, open(programs_));
  std::unique_ptr<Objects> out(new Objects(pins_, programs_, std::move(object)));
  for (const Place& place : places_) {
    bpf_map* map = bpf_object__find_map_by_name(out->object_.get(), place.pin.map.c_str());
    if (map == nullptr || bpf_map__reuse_fd(map, bpf_map__fd(place.map)) != 0)
      return fail_errno("can't share a map", errno);
    out->places_.push_back(place);
    out->places_.back().map = map;
  }
  CORDON_TRY(out->load_programs());
  return out;
}

Result<> Objects::carry_over(const Place& place, const LayoutBook& book) {
  if (place.layout.type == BPF_MAP_TYPE_RINGBUF) return {};
  for (const MapPin& other : place.others) {
    Descriptor from(bpf_obj_get((pins_ / other.file_name()).c_str()));
    if (!from) continue;
    const auto old = book.find(other.layout);
    const auto conversion = old ? RowConversion::between(*old, place.layout) : std::nullopt;
    const auto facts = map_facts(from.get());
    const bool as_told =
        old && facts && facts->key_size == old->key_size && facts->value_size == old->value_size;
    auto carry = conversion && as_told
                     ? Carry::between(std::move(from), bpf_map__fd(place.map), *conversion, !place.adopted)
                     : fail(ErrorCode::conflict, "its layout is not known or its keys are others");
    if (!carry) {
      log::warning("node.filter", "map '{}' is not taken over from '{}': {}", place.pin.map,
                   other.file_name(), carry.error().message());
      continue;
    }
    if (auto done = carry->pass(); !done)
      return std::unexpected(in_context(std::move(done).error(), fmt::format("map '{}'", place.pin.map)));
    carries_.push_back(std::move(*carry));
  }
  return {};
}

Result<> Objects::fill(const LoadOptions& options) {
  CORDON_ASSIGN(const LayoutBook book, LayoutBook::open(pins_));
  for (const Place& place : places_) {
    CORDON_TRY(carry_over(place, book));
    if (!place.others.empty()) options.after_step("filled " + place.pin.map);
  }
  for (Carry& carry : carries_) CORDON_TRY(carry.pass());
  // Its content first: a map that is pinned is whole.
  for (const Place& place : places_) {
    CORDON_TRY(book.write(place.layout));
    if (place.adopted) continue;
    CORDON_TRY(pin_over(bpf_map__fd(place.map), pins_ / place.pin.file_name()));
    options.after_step("pinned " + place.pin.map);
  }
  return {};
}

Result<> Objects::finish(const LoadOptions& options) {
  for (Carry& carry : carries_) CORDON_TRY(carry.pass());
  carries_.clear();
  options.after_step("copied again");
  std::vector<std::string> ours, layouts;
  for (const Place& place : places_) {
    ours.push_back(place.pin.file_name());
    layouts.push_back(place.pin.layout);
  }
  for (const auto& path : map_pins(pins_)) {
    if (std::ranges::find(ours, path.filename().string()) != ours.end()) continue;
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
      return fail_errno(fmt::format("can't unpin '{}'", path.string()), errno);
    options.after_step("unpinned " + path.filename().string());
  }
  CORDON_ASSIGN(const LayoutBook book, LayoutBook::open(pins_));
  book.keep_only(layouts);
  return {};
}

int Objects::map(const char* name) const {
  return bpf_object__find_map_fd_by_name(object_.get(), name);
}

int Objects::program(const char* name) const {
  const bpf_program* program = bpf_object__find_program_by_name(object_.get(), name);
  return program == nullptr ? -1 : bpf_program__fd(program);
}

std::vector<std::string> Objects::repin_maps() const {
  std::vector<std::string> found;
  for (const Place& place : places_) {
    const auto path = pins_ / place.pin.file_name();
    const int fd = bpf_map__fd(place.map);
    const auto ours = map_facts(fd);
    const Descriptor pinned(bpf_obj_get(path.c_str()));
    const auto theirs = pinned ? map_facts(pinned.get()) : fail(ErrorCode::not_found, "");
    if (ours && theirs && ours->id == theirs->id) continue;
    const bool mended = pin_over(fd, path).has_value();
    found.push_back(fmt::format("map '{}' was {}{}", place.pin.map,
                                theirs ? "not the one pinned" : "not pinned",
                                mended ? ": pinned again" : ", and can't be"));
  }
  return found;
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
