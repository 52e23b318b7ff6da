#include "node/filter/sides.h"

#include <utility>

namespace cordon::node {
namespace {

/// What differs between the tables.
struct PrincipalSides {
  using Key = cordon_address;
  using Row = cordon_principal;
  static constexpr std::uint32_t kAbsent = CORDON_PRINCIPAL_ABSENT;
  static void note_key(Row&, const Key&) {}
};
struct TargetSides {
  using Key = cordon_target_key;
  using Row = cordon_target;
  static constexpr std::uint32_t kAbsent = CORDON_TARGET_ABSENT;
  static void note_key(Row& row, const Key& key) { row.prefix_bits = key.prefix_bits; }
};

template <class T>
T read_as(const std::uint8_t* from) {
  T out;
  std::memcpy(&out, from, sizeof out);
  return out;
}

/// Of each row, what `make` makes of it.
template <class Sides, class Make>
Rows each_row(const Rows& rows, const Make& make) {
  Rows out = rows.shape();
  out.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto key = read_as<typename Sides::Key>(rows.key(i));
    auto row = read_as<typename Sides::Row>(rows.value(i));
    make(i, row);
    if (((row.now.flags | row.before.flags) & Sides::kAbsent) != 0) Sides::note_key(row, key);
    out.add(key, row);
  }
  return out;
}

template <class Work>
auto for_table(Table table, const Work& work) {
  return table == Table::principals ? work(PrincipalSides{}) : work(TargetSides{});
}

template <class Sides>
SettledRows settle_as(const Rows& held, std::uint64_t generation) {
  SettledRows out{.rows = held.shape(), .unmade = held.shape(), .absent = held.shape()};
  out.rows.reserve(held.size());
  for (std::size_t i = 0; i < held.size(); ++i) {
    const auto key = read_as<typename Sides::Key>(held.key(i));
    const auto row = read_as<typename Sides::Row>(held.value(i));
    const bool changes_later = row.changed_in > generation;
    typename Sides::Row settled{};
    settled.now = changes_later ? row.before : row.now;
    if ((settled.now.flags & Sides::kAbsent) != 0) {
      out.absent.add(key, row);
      continue;
    }
    out.rows.add(key, settled);
    if (changes_later) out.unmade.add(key, settled);
  }
  return out;
}

}  // namespace

bool has_sides(Table table) {
  return table == Table::principals || table == Table::targets;
}

Rows coming(Table table, const Rows& rows, std::uint64_t generation) {
  return for_table(table, [&]<class Sides>(Sides) {
    return each_row<Sides>(rows, [&](std::size_t, auto& row) {
      row.changed_in = generation;
      row.before.flags = Sides::kAbsent;
    });
  });
}

Rows changing(Table table, const Rows& rows, const Rows& before, std::uint64_t generation) {
  return for_table(table, [&]<class Sides>(Sides) {
    return each_row<Sides>(rows, [&](std::size_t i, auto& row) {
      row.changed_in = generation;
      row.before = read_as<typename Sides::Row>(before.value(i)).now;
    });
  });
}

Rows going(Table table, const Rows& rows, std::uint64_t generation) {
  return for_table(table, [&]<class Sides>(Sides) {
    return each_row<Sides>(rows, [&](std::size_t, auto& row) {
      row.changed_in = generation;
      row.before = std::exchange(row.now, {});
      row.now.flags = Sides::kAbsent;
    });
  });
}

SettledRows settle(Table table, const Rows& held, std::uint64_t generation) {
  return for_table(table, [&]<class Sides>(Sides) { return settle_as<Sides>(held, generation); });
}

}  // namespace cordon::node
