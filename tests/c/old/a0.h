/* June 2011, the API that the first manual page prints: no version number. */
#include "assert.h"

struct nmreq {
	char nr_name[IFNAMSIZ];
	uint32_t nr_offset;
	uint32_t nr_memsize;
	uint32_t nr_numslots;
	uint16_t nr_numrings;
	uint16_t nr_ringid;
};
AT(nmreq, nr_name, 0);
AT(nmreq, nr_offset, 16);
AT(nmreq, nr_memsize, 20);
AT(nmreq, nr_numslots, 24);
AT(nmreq, nr_numrings, 28);
AT(nmreq, nr_ringid, 30);
SIZE(nmreq, 32);

struct netmap_slot {
	uint32_t buf_idx;
	uint16_t len;
	uint16_t flags;
};
AT(netmap_slot, buf_idx, 0);
AT(netmap_slot, len, 4);
AT(netmap_slot, flags, 6);
SIZE(netmap_slot, 8);

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

struct netmap_if {
	char ni_name[IFNAMSIZ];
	uint32_t ni_num_queues;
	ssize_t ring_ofs[];
};
AT(netmap_if, ni_name, 0);
AT(netmap_if, ni_num_queues, 16);
AT(netmap_if, ring_ofs, 24);
SIZE(netmap_if, 24);

#define NETMAP_RING_MASK 0x0fff
#define NETMAP_NO_TX_POLL 0x1000
#define NETMAP_SW_RING 0x2000
#define NETMAP_HW_RING 0x4000
#define NS_BUF_CHANGED 0x0001
#define NS_REPORT 0x0002

#define NIOCGINFO _IOWR('i', 145, struct nmreq)
#define NIOCREGIF _IOWR('i', 146, struct nmreq)
#define NIOCUNREGIF _IO('i', 147)
#define NIOCTXSYNC _IO('i', 148)
#define NIOCRXSYNC _IO('i', 149)
NUMBER(NIOCGINFO, 0xC0206991);
NUMBER(NIOCREGIF, 0xC0206992);
NUMBER(NIOCUNREGIF, 0x00006993);
NUMBER(NIOCTXSYNC, 0x00006994);
NUMBER(NIOCRXSYNC, 0x00006995);

#define NETMAP_IF(base, offset) ((struct netmap_if *)((char *)(base) + (offset)))
#define NETMAP_TXRING(nifp, i) ((struct netmap_ring *)((char *)(nifp) + (nifp)->ring_ofs[i]))
#define NETMAP_RXRING(nifp, i) ((struct netmap_ring *)((char *)(nifp) + (nifp)->ring_ofs[(i) + (nifp)->ni_num_queues + 1]))
#define NETMAP_BUF(ring, index) ((char *)(ring) + (ring)->buf_ofs + (size_t)(index) * 2048)
#define NETMAP_RING_NEXT(ring, i) ((i) + 1 == (ring)->num_slots ? 0 : (i) + 1)
