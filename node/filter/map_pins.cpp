#include "node/filter/map_pins.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "node/filter/attachment.h"

namespace cordon::node {
namespace {

constexpr std::string_view kMapPinPrefix = "map-";
constexpr const char* kBookPin = "layouts";
constexpr std::uint32_t kBookLayouts = 256;

using BookKey = std::array<char, 8>;
using BookText = std::array<char, 4096>;

BookKey book_key(const std::string& hash) {
  BookKey key{};
  std::copy_n(hash.begin(), std::min(hash.size(), key.size()), key.begin());
  return key;
}

}  // namespace

std::string MapPin::file_name() const {
  return fmt::format("{}{}-{}-{}", kMapPinPrefix, map, layout, entries);
}

std::optional<MapPin> MapPin::parse(std::string_view file_name) {
  if (!file_name.starts_with(kMapPinPrefix)) return std::nullopt;
  file_name.remove_prefix(kMapPinPrefix.size());
  const auto last = file_name.rfind('-');
  if (last == std::string_view::npos || last == 0) return std::nullopt;
  const auto first = file_name.rfind('-', last - 1);
  if (first == std::string_view::npos) return std::nullopt;
  MapPin pin{.map = std::string(file_name.substr(0, first)),
             .layout = std::string(file_name.substr(first + 1, last - first - 1)),
             .entries = 0};
  const char* end = file_name.data() + file_name.size();
  const auto read = std::from_chars(file_name.data() + last + 1, end, pin.entries);
  if (read.ec != std::errc{} || read.ptr != end) return std::nullopt;
  return pin;
}

std::vector<std::filesystem::path> map_pins(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> out;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored))
    if (entry.path().filename().string().starts_with(kMapPinPrefix)) out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

Result<MapFacts> map_facts(int fd) {
  bpf_map_info info{};
  __u32 size = sizeof info;
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return fail_errno("can't ask a map what it is", errno);
  return MapFacts{.id = info.id,
                  .type = info.type,
                  .key_size = info.key_size,
                  .value_size = info.value_size,
                  .entries = info.max_entries};
}

Result<LayoutBook> LayoutBook::open(const std::filesystem::path& directory) {
  const auto path = directory / kBookPin;
  Descriptor map(bpf_obj_get(path.c_str()));
  if (map) {
    const auto facts = map_facts(map.get());
    if (facts && facts->key_size == sizeof(BookKey) && facts->value_size == sizeof(BookText))
      return LayoutBook(std::move(map));
  }
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
  map = Descriptor(bpf_map_create(BPF_MAP_TYPE_HASH, "cordon_layouts", sizeof(BookKey), sizeof(BookText),
                                  kBookLayouts, &options));
  if (!map) return fail_errno("can't make the map of layouts", errno);
  CORDON_TRY(pin_over(map.get(), path));
  return LayoutBook(std::move(map));
}

std::optional<MapLayout> LayoutBook::find(const std::string& hash) const {
  const BookKey key = book_key(hash);
  BookText text{};
  if (bpf_map_lookup_elem(map_.get(), key.data(), text.data()) != 0) return std::nullopt;
  auto layout = MapLayout::parse(std::string_view(text.data(), ::strnlen(text.data(), text.size())));
  return layout ? std::optional(std::move(*layout)) : std::nullopt;
}

Result<> LayoutBook::write(const MapLayout& layout) const {
  const BookKey key = book_key(layout.hash());
  const std::string said = layout.text();
  BookText text{};
  if (said.size() >= text.size()) return fail(ErrorCode::internal, "a map's layout is too long to be told");
  std::ranges::copy(said, text.begin());
  if (bpf_map_update_elem(map_.get(), key.data(), text.data(), BPF_ANY) != 0)
    return fail_errno("can't write down a map's layout", errno);
  return {};
}

void LayoutBook::keep_only(const std::vector<std::string>& hashes) const {
  BookKey key{};
  std::vector<BookKey> gone;
  for (int error = bpf_map_get_next_key(map_.get(), nullptr, key.data()); error == 0;
       error = bpf_map_get_next_key(map_.get(), key.data(), key.data()))
    if (std::ranges::find(hashes, std::string(key.data(), key.size())) == hashes.end()) gone.push_back(key);
  for (const BookKey& k : gone) bpf_map_delete_elem(map_.get(), k.data());
}

}  // namespace cordon::node
