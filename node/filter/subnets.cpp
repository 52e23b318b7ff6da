#include "node/filter/subnets.h"

#include "node/filter/image.h"
#include "node/filter/kernel_map.h"

namespace cordon::node {
namespace {

void add_subnets(Rows& rows, const std::vector<Prefix>& prefixes, __u32 what) {
  for (const Prefix& prefix : prefixes) rows.add(target_key(prefix), what);
}

/// Those that say this.
Rows subnets_of(const Rows& rows, __u32 what) {
  Rows out = rows.shape();
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (std::memcmp(rows.value(i), &what, sizeof what) == 0) out.add_raw(rows.key(i), rows.value(i));
  return out;
}

}  // namespace

Result<bool> write_subnets(int map_fd, const Subnets& subnets) {
  const KernelMap map{.fd = map_fd, .name = "subnets", .is_trie = true};
  const Rows shape{
      .key_size = sizeof(cordon_target_key), .value_size = sizeof(__u32), .keys = {}, .values = {}};
  CORDON_ASSIGN(Rows have, map.read(shape));
  Rows want = shape;
  add_subnets(want, subnets.routed, CORDON_SUBNET_ROUTED);
  add_subnets(want, subnets.behind, CORDON_SUBNET_BEHIND);
  add_subnets(want, subnets.own, CORDON_SUBNET_OWN);  // the last of one key stays
  want.make_unique();
  // Of nested prefixes the longest decides: what nobody may reach is there before what is opened around it,
  // and goes after it.
  const RowsDifference changes = difference(std::move(have), want);
  const Rows own = subnets_of(want, CORDON_SUBNET_OWN);
  CORDON_TRY(map.write(own));
  CORDON_TRY(map.write(changes.added));
  CORDON_TRY(map.write(changes.overwritten));
  const Rows closed = subnets_of(changes.removed, CORDON_SUBNET_BEHIND);
  CORDON_TRY(map.remove(closed));
  CORDON_TRY(map.remove(changes.removed));
  return !closed.empty() || !subnets_of(changes.before, CORDON_SUBNET_BEHIND).empty() ||
         !subnets_of(changes.added, CORDON_SUBNET_OWN).empty();
}

}  // namespace cordon::node
