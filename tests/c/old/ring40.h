/* A ring of 2011. The program owns avail slots from cur on. Include slot8.h first. */
#include "assert.h"

struct netmap_ring {
	ssize_t buf_ofs;
	uint32_t num_slots;
	uint32_t avail;
	uint32_t cur;
	uint16_t nr_buf_size;
	uint16_t flags;
	struct timeval ts;
	struct netmap_slot slot[];
};
AT(netmap_ring, buf_ofs, 0);
AT(netmap_ring, num_slots, 8);
AT(netmap_ring, avail, 12);
AT(netmap_ring, cur, 16);
AT(netmap_ring, nr_buf_size, 20);
AT(netmap_ring, flags, 22);
AT(netmap_ring, ts, 24);
AT(netmap_ring, slot, 40);
SIZE(netmap_ring, 40);
