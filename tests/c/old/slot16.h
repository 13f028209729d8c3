/* A slot since API 4b. A program may name a buffer of its own by ptr. */
#include "assert.h"

struct netmap_slot {
	uint32_t buf_idx;
	uint16_t len;
	uint16_t flags;
	uint64_t ptr;
};
AT(netmap_slot, buf_idx, 0);
AT(netmap_slot, len, 4);
AT(netmap_slot, flags, 6);
AT(netmap_slot, ptr, 8);
SIZE(netmap_slot, 16);
