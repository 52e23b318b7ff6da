#ifndef CORDON_TESTS_BPF_INTERLEAVE_H
#define CORDON_TESTS_BPF_INTERLEAVE_H
/* What another CPU does while a program runs: shared by interleave.bpf.c and the tests. */

#include <linux/types.h>

enum interleave_table {
  INTERLEAVE_SETTINGS,
  INTERLEAVE_PRINCIPALS,
  INTERLEAVE_TARGETS,
  INTERLEAVE_GRANTS,
  INTERLEAVE_GRANT_RANGES,
  INTERLEAVE_FLOWS,
  INTERLEAVE_OVERLAY_LIMITS,
};
enum interleave_how {
  INTERLEAVE_UPDATE,   /* as bpf_map_update_elem */
  INTERLEAVE_REMOVE,   /* as bpf_map_delete_elem */
  INTERLEAVE_IN_PLACE, /* the row's bytes, where they stand; settings and flows */
  INTERLEAVE_COUNT,    /* a limit's `suppressed` more, in the round that it is then */
};

#define INTERLEAVE_WRITES 16
struct interleave_write {
  __u32 table, how;
  __u8 key[40];
  __u8 value[168];
};

/* interleave_plan[0]: after so many steps of the program that runs next, the writes are done, all at once. */
struct interleave_plan {
  __u32 steps;
  __u32 writes; /* 0: none, or they are done */
};

#endif
