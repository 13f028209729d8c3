/* A slot until API 4a. */
#include "assert.h"

struct netmap_slot {
	uint32_t buf_idx;
	uint16_t len;
	uint16_t flags;
};
AT(netmap_slot, buf_idx, 0);
AT(netmap_slot, len, 4);
AT(netmap_slot, flags, 6);
SIZE(netmap_slot, 8);
