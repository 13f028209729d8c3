/* A ring since API 10: head, cur and tail. Include slot16.h first. */
#include "assert.h"

struct netmap_ring {
	ssize_t buf_ofs;
	uint32_t num_slots;
	uint32_t nr_buf_size;
	uint16_t ringid;
	uint16_t dir;
	uint32_t head;
	uint32_t cur;
	uint32_t tail;
	uint32_t flags;
	struct timeval ts;
	uint8_t sem[128] __attribute__((aligned(128)));
	struct netmap_slot slot[];
};
AT(netmap_ring, buf_ofs, 0);
AT(netmap_ring, num_slots, 8);
AT(netmap_ring, nr_buf_size, 12);
AT(netmap_ring, ringid, 16);
AT(netmap_ring, dir, 18);
AT(netmap_ring, head, 20);
AT(netmap_ring, cur, 24);
AT(netmap_ring, tail, 28);
AT(netmap_ring, flags, 32);
AT(netmap_ring, ts, 40);
AT(netmap_ring, sem, 128);
AT(netmap_ring, slot, 256);
SIZE(netmap_ring, 256);
