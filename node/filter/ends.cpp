#include "node/filter/ends.h"

#include "node/filter/image.h"
#include "node/filter/kernel_map.h"

namespace cordon::node {

Result<> write_ends(int map_fd, std::uint8_t protocol, const std::vector<Endpoint>& ends) {
  const KernelMap map{.fd = map_fd, .name = "underlay_ends", .is_trie = false};
  const Rows shape{.key_size = sizeof(cordon_end), .value_size = sizeof(__u32), .keys = {}, .values = {}};
  CORDON_ASSIGN(const Rows all, map.read(shape));
  Rows have = shape, want = shape;
  for (std::size_t i = 0; i < all.size(); ++i) {
    cordon_end end;
    std::memcpy(&end, all.key(i), sizeof end);
    if (end.protocol == protocol) have.add_raw(all.key(i), all.value(i));
  }
  for (const Endpoint& end : ends) {
    cordon_end key{};
    key.address = to_abi(end.address);
    key.port = end.port;
    key.protocol = protocol;
    want.add(key, __u32{1});
  }
  want.make_unique();
  const RowsDifference changes = difference(std::move(have), std::move(want));
  CORDON_TRY(map.write(changes.added));
  return map.remove(changes.removed);
}

}  // namespace cordon::node
