/* API 5, end of 2013. */
#include "assert.h"

struct nmreq {
	char nr_name[IFNAMSIZ];
	uint32_t nr_version;
	uint32_t nr_offset;
	uint32_t nr_memsize;
	uint32_t nr_tx_slots;
	uint32_t nr_rx_slots;
	uint16_t nr_tx_rings;
	uint16_t nr_rx_rings;
	uint16_t nr_ringid;
	uint16_t nr_cmd;
	uint16_t nr_arg1;
	uint16_t nr_arg2;
	uint32_t spare2[3];
};
AT(nmreq, nr_name, 0);
AT(nmreq, nr_version, 16);
AT(nmreq, nr_offset, 20);
AT(nmreq, nr_memsize, 24);
AT(nmreq, nr_tx_slots, 28);
AT(nmreq, nr_rx_slots, 32);
AT(nmreq, nr_tx_rings, 36);
AT(nmreq, nr_rx_rings, 38);
AT(nmreq, nr_ringid, 40);
AT(nmreq, nr_cmd, 42);
AT(nmreq, nr_arg1, 44);
AT(nmreq, nr_arg2, 46);
AT(nmreq, spare2, 48);
SIZE(nmreq, 60);

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

struct netmap_ring {
	ssize_t buf_ofs;
	uint32_t num_slots;
	uint32_t avail;
	uint32_t cur;
	uint32_t reserved;
	uint16_t nr_buf_size;
	uint16_t flags;
	struct timeval ts;
	struct netmap_slot slot[];
};
AT(netmap_ring, buf_ofs, 0);
AT(netmap_ring, num_slots, 8);
AT(netmap_ring, avail, 12);
AT(netmap_ring, cur, 16);
AT(netmap_ring, reserved, 20);
AT(netmap_ring, nr_buf_size, 24);
AT(netmap_ring, flags, 26);
AT(netmap_ring, ts, 32);
AT(netmap_ring, slot, 48);
SIZE(netmap_ring, 48);

struct netmap_if {
	char ni_name[IFNAMSIZ];
	uint32_t ni_version;
	uint32_t ni_flags;
	uint32_t ni_rx_rings;
	uint32_t ni_tx_rings;
	ssize_t ring_ofs[];
};
AT(netmap_if, ni_name, 0);
AT(netmap_if, ni_version, 16);
AT(netmap_if, ni_flags, 20);
AT(netmap_if, ni_rx_rings, 24);
AT(netmap_if, ni_tx_rings, 28);
AT(netmap_if, ring_ofs, 32);
SIZE(netmap_if, 32);

#define NETMAP_API 5
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
NUMBER(NIOCGINFO, 0xC03C6991);
NUMBER(NIOCREGIF, 0xC03C6992);
NUMBER(NIOCUNREGIF, 0x00006993);
NUMBER(NIOCTXSYNC, 0x00006994);
NUMBER(NIOCRXSYNC, 0x00006995);

#define NETMAP_IF(base, offset) ((struct netmap_if *)((char *)(base) + (offset)))
#define NETMAP_TXRING(nifp, i) ((struct netmap_ring *)((char *)(nifp) + (nifp)->ring_ofs[i]))
#define NETMAP_RXRING(nifp, i) ((struct netmap_ring *)((char *)(nifp) + (nifp)->ring_ofs[(i) + (nifp)->ni_tx_rings + 1]))
#define NETMAP_BUF(ring, index) ((char *)(ring) + (ring)->buf_ofs + (size_t)(index) * (ring)->nr_buf_size)
#define NETMAP_RING_NEXT(ring, i) ((i) + 1 == (ring)->num_slots ? 0 : (i) + 1)
