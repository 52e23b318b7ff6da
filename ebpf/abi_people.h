#ifndef CORDON_EBPF_ABI_PEOPLE_H
#define CORDON_EBPF_ABI_PEOPLE_H
/* Which of this host's uids are people, and who of them has a session. Part of abi.h. */

#include "ebpf/abi.h"

/* people: uid prefix -> its session's addresses; zero: a person without a session. An exact uid stands before
 * the range that it lies in. A uid that is not there is the device's: root and system accounts. */
#define CORDON_PEOPLE_PREFIXES 65536
struct cordon_person_key {
  __u32 prefix_bits; /* over the uid */
  __u8 uid[4];       /* most significant byte first */
};
struct cordon_person {
  struct cordon_address v4, v6;
};

CORDON_STATIC_ASSERT(sizeof(struct cordon_person_key) == 8, "person key layout");
CORDON_STATIC_ASSERT(sizeof(struct cordon_person) == 32, "person layout");

#endif
