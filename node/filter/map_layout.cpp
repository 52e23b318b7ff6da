#include "node/filter/map_layout.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <sstream>

#include "base/bytes.h"
#include "node/filter/layout.h"

namespace cordon::node {
namespace {

/// Raised when what programs do with a map changes so that rows of an earlier one must not be taken over,
/// though its fields are the same.
constexpr int kMapMeaning = 1;

/// The side of a row that holds (abi.h): its fields are named as those of a row without sides.
constexpr std::string_view kHoldingSide = "now";

static_assert(std::endian::native == std::endian::little,
              "a wider field begins with the narrower one's bytes");

const btf_type* bare_type(const btf* types, std::uint32_t id) {
  const btf_type* type = btf__type_by_id(types, id);
  while (type != nullptr && (btf_is_mod(type) || btf_is_typedef(type)))
    type = btf__type_by_id(types, type->type);
  return type;
}

Result<> add_fields(const btf* types, std::uint32_t id, const std::string& name, std::uint32_t offset,
                    std::vector<MapField>& out) {
  const btf_type* type = bare_type(types, id);
  if (type == nullptr) return fail(ErrorCode::internal, "a map's type is not in the BPF object");
  if (!btf_is_struct(type)) {
    const auto size = btf__resolve_size(types, id);
    if (size < 0) return fail(ErrorCode::internal, fmt::format("field '{}' has no size", name));
    out.push_back(
        {.name = name.empty() ? "it" : name, .offset = offset, .size = static_cast<std::uint32_t>(size)});
    return {};
  }
  for (std::uint32_t i = 0; i < btf_vlen(type); ++i) {
    const btf_member& member = btf_members(type)[i];
    const std::uint32_t bits = btf_member_bit_offset(type, i);
    if (btf_member_bitfield_size(type, i) != 0 || bits % 8 != 0)
      return fail(ErrorCode::internal, fmt::format("a bit field in '{}'", name));
    std::string inner = btf__name_by_offset(types, member.name_off);
    if (inner == kHoldingSide)
      inner = name;
    else if (!name.empty())
      inner = name + "." + inner;
    CORDON_TRY(add_fields(types, member.type, inner, offset + bits / 8, out));
  }
  return {};
}

std::vector<MapField> event_fields() {
  std::vector<MapField> out;
  for (const FieldLayout& f : abi_layout())
    if (std::string_view(f.structure) == "cordon_event" && *f.field != '\0')
      out.push_back({.name = f.field,
                     .offset = static_cast<std::uint32_t>(f.offset),
                     .size = static_cast<std::uint32_t>(f.size)});
  return out;
}

bool inside(const MapField& field, std::uint32_t size) {
  return field.size <= size && field.offset <= size - field.size;
}

}  // namespace

std::string MapLayout::text() const {
  std::string out = fmt::format("map {} {} {} {} {}\n", kMapMeaning, type, flags, key_size, value_size);
  for (const MapField& f : key) out += fmt::format("key {} {} {}\n", f.name, f.offset, f.size);
  for (const MapField& f : value) out += fmt::format("value {} {} {}\n", f.name, f.offset, f.size);
  return out;
}

Result<MapLayout> MapLayout::parse(std::string_view text) {
  MapLayout out;
  std::istringstream in{std::string(text)};
  std::string word;
  int meaning = 0;
  const auto bad = [] { return fail(ErrorCode::invalid, "an unreadable map layout"); };
  if (!(in >> word >> meaning >> out.type >> out.flags >> out.key_size >> out.value_size) || word != "map")
    return bad();
  if (meaning != kMapMeaning) return fail(ErrorCode::conflict, "a map of another meaning");
  while (in >> word) {
    MapField field;
    if (!(in >> field.name >> field.offset >> field.size)) return bad();
    const bool is_key = word == "key";
    if ((!is_key && word != "value") || !inside(field, is_key ? out.key_size : out.value_size)) return bad();
    (is_key ? out.key : out.value).push_back(std::move(field));
  }
  return out;
}

std::string MapLayout::hash() const {
  return to_hex(ByteView(sha256(as_bytes(text()))).first(4));
}

Result<MapLayout> layout_of(const bpf_map* map, const btf* types) {
  MapLayout out;
  out.type = bpf_map__type(map);
  out.flags = bpf_map__map_flags(map);
  out.key_size = bpf_map__key_size(map);
  out.value_size = bpf_map__value_size(map);
  if (out.type == BPF_MAP_TYPE_RINGBUF) {
    out.value = event_fields();
    return out;
  }
  CORDON_TRY(add_fields(types, bpf_map__btf_key_type_id(map), "", 0, out.key));
  CORDON_TRY(add_fields(types, bpf_map__btf_value_type_id(map), "", 0, out.value));
  return out;
}

std::optional<RowConversion> RowConversion::between(const MapLayout& from, const MapLayout& to) {
  const auto names = [](const std::vector<MapField>& fields) {
    std::set<std::pair<std::string, std::uint32_t>> out;
    for (const MapField& f : fields) out.emplace(f.name, f.size);
    return out;
  };
  if (names(from.key) != names(to.key)) return std::nullopt;
  RowConversion out;
  out.keys_ = moves(from.key, to.key);
  out.values_ = moves(from.value, to.value);
  return out;
}

std::vector<RowConversion::Move> RowConversion::moves(const std::vector<MapField>& from,
                                                      const std::vector<MapField>& to) {
  std::vector<Move> out;
  for (const MapField& target : to) {
    const auto source = std::ranges::find(from, target.name, &MapField::name);
    if (source == from.end() || source->size > target.size) continue;
    out.push_back({.from = source->offset, .to = target.offset, .size = source->size});
  }
  return out;
}

void RowConversion::move(const std::vector<Move>& moves, const std::uint8_t* from, std::uint8_t* to) {
  for (const Move& m : moves) std::memcpy(to + m.to, from + m.from, m.size);
}

}  // namespace cordon::node
