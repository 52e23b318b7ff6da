// The pool against the plainest one there is: every address looked at, one after another.
#include "policy/address_pool.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

namespace cordon::policy {
namespace address_pool_test {

struct Plain {
  std::uint32_t base = 0, capacity = 0, next = 1;
  std::set<Address> used;
  std::map<Address, Timestamp> rests;

  std::optional<Address> first(Timestamp at) const {
    for (std::uint32_t tried = 0, offset = next; tried < capacity; ++tried, ++offset) {
      if (offset > capacity) offset = 1;
      const Address address = Address::from_v4(base + offset);
      const auto rest = rests.find(address);
      if (!used.contains(address) && (rest == rests.end() || rest->second <= at)) return address;
    }
    return std::nullopt;
  }
};

RC_GTEST_PROP(AddressPool, gives_what_a_walk_over_all_addresses_would, ()) {
  const int bits = *rc::gen::inRange(22, 31);
  const Prefix prefix = Prefix::of(Address::from_v4(0x64400000), static_cast<unsigned>(bits));
  AddressPool pool(prefix);
  Plain plain{.base = 0x64400000, .capacity = (1u << (32 - bits)) - 2, .used = {}, .rests = {}};
  RC_ASSERT(pool.capacity() == plain.capacity);
  Timestamp now{};
  for (int step = 0; step < 400; ++step) {
    const int what = *rc::gen::inRange(0, 8);
    if (what < 4) {
      const auto expected = plain.first(now);
      RC_ASSERT(pool.next(now) == expected);
      if (!expected) continue;
      pool.take(*expected, now);
      plain.used.insert(*expected);
      plain.rests.erase(*expected);
      const std::uint32_t offset = expected->v4_host_order() - plain.base;
      plain.next = offset >= plain.capacity ? 1 : offset + 1;
    } else if (what < 6 && !plain.used.empty()) {
      const auto gone = std::next(plain.used.begin(), *rc::gen::inRange<long>(0, std::ssize(plain.used)));
      const Timestamp until = now + Seconds(*rc::gen::inRange(0, 40));
      pool.give_back(*gone, until);
      pool.give_back(*gone, until + Seconds(1));  // it isn't in use any more
      plain.rests[*gone] = until;
      plain.used.erase(gone);
    } else if (what == 6) {
      now += Seconds(*rc::gen::inRange(0, 10));
    } else {
      pool.wake(now);
    }
    RC_ASSERT(pool.in_use() == plain.used.size());
    for (const auto& [address, until] : plain.rests) {
      RC_ASSERT(!pool.is_in_use(address));
      RC_ASSERT(pool.is_resting(address) || until <= now);
    }
  }
}

}  // namespace address_pool_test
}  // namespace cordon::policy
