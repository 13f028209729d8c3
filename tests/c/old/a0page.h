/* The structures as printed in the first manual page: some names differ, and a ring has no time
 * stamp. */
#include "assert.h"

struct netmap_if {
	char ni_name[IFNAMSIZ];
	const u_int ni_num_queues;
	const ssize_t ring_ofs[];
};
AT(netmap_if, ring_ofs, 24);

struct netmap_slot {
	uint32_t buf_idx;
	uint16_t len;
	uint16_t flags;
};
SIZE(netmap_slot, 8);

struct netmap_ring {
	const ssize_t buf_ofs;
	const uint32_t num_slots;
	uint32_t avail;
	uint32_t cur;

	const uint16_t nr_buf_size;
	uint16_t flags;
	struct netmap_slot slot[0];
};
AT(netmap_ring, slot, 24);
SIZE(netmap_ring, 24);

struct nmreq {
	char nr_name[IFNAMSIZ];
	uint32_t nr_offset;
	uint32_t nr_memsize;
	uint32_t nr_numdescs;
	uint16_t nr_numqueues;
	uint16_t nr_ringid;
};
SIZE(nmreq, 32);

#define NIOCGINFO _IOWR('i', 145, struct nmreq)
#define NIOCREGIF _IOWR('i', 146, struct nmreq)
#include "macros.h"
