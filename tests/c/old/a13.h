/* API 13, winter of 2018: NIOCCTRL. */
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
	uint32_t nr_arg3;
	uint32_t nr_flags;
	uint32_t spare2[1];
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
AT(nmreq, nr_arg3, 48);
AT(nmreq, nr_flags, 52);
AT(nmreq, spare2, 56);
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

struct netmap_if {
	char ni_name[IFNAMSIZ];
	uint32_t ni_version;
	uint32_t ni_flags;
	uint32_t ni_tx_rings;
	uint32_t ni_rx_rings;
	uint32_t ni_bufs_head;
	uint32_t ni_spare1[5];
	ssize_t ring_ofs[];
};
AT(netmap_if, ni_name, 0);
AT(netmap_if, ni_version, 16);
AT(netmap_if, ni_flags, 20);
AT(netmap_if, ni_tx_rings, 24);
AT(netmap_if, ni_rx_rings, 28);
AT(netmap_if, ni_bufs_head, 32);
AT(netmap_if, ni_spare1, 36);
AT(netmap_if, ring_ofs, 56);
SIZE(netmap_if, 56);

struct nmreq_header {
	uint16_t nr_version, nr_reqtype;
	uint32_t nr_reserved;
	char nr_name[64];
	uint64_t nr_options, nr_body;
};
AT(nmreq_header, nr_version, 0);
AT(nmreq_header, nr_reqtype, 2);
AT(nmreq_header, nr_reserved, 4);
AT(nmreq_header, nr_name, 8);
AT(nmreq_header, nr_options, 72);
AT(nmreq_header, nr_body, 80);
SIZE(nmreq_header, 88);

struct nmreq_register {
	uint64_t nr_offset, nr_memsize;
	uint32_t nr_tx_slots, nr_rx_slots;
	uint16_t nr_tx_rings, nr_rx_rings, nr_mem_id, nr_ringid;
	uint32_t nr_mode, nr_extra_bufs;
	uint64_t nr_flags;
};
AT(nmreq_register, nr_offset, 0);
AT(nmreq_register, nr_memsize, 8);
AT(nmreq_register, nr_tx_slots, 16);
AT(nmreq_register, nr_rx_slots, 20);
AT(nmreq_register, nr_tx_rings, 24);
AT(nmreq_register, nr_rx_rings, 26);
AT(nmreq_register, nr_mem_id, 28);
AT(nmreq_register, nr_ringid, 30);
AT(nmreq_register, nr_mode, 32);
AT(nmreq_register, nr_extra_bufs, 36);
AT(nmreq_register, nr_flags, 40);
SIZE(nmreq_register, 48);

#define NETMAP_REQ_REGISTER 1
#define NR_REG_ALL_NIC 1
#define NR_REG_SW 2
#define NR_REG_ONE_NIC 4
#define NIOCCTRL _IOWR('i', 151, struct nmreq_header)
NUMBER(NIOCCTRL, 0xC0586997);

#define NETMAP_API 13
#define NETMAP_RING_MASK 0x0fff
#define NETMAP_NO_TX_POLL 0x1000
#define NETMAP_SW_RING 0x2000
#define NETMAP_HW_RING 0x4000
#define NS_BUF_CHANGED 0x0001
#define NS_REPORT 0x0002

#define NIOCGINFO _IOWR('i', 145, struct nmreq)
#define NIOCREGIF _IOWR('i', 146, struct nmreq)
#define NIOCTXSYNC _IO('i', 148)
#define NIOCRXSYNC _IO('i', 149)
NUMBER(NIOCGINFO, 0xC03C6991);
NUMBER(NIOCREGIF, 0xC03C6992);
NUMBER(NIOCTXSYNC, 0x00006994);
NUMBER(NIOCRXSYNC, 0x00006995);

#define NETMAP_IF(base, offset) ((struct netmap_if *)((char *)(base) + (offset)))
#define NETMAP_TXRING(nifp, i) ((struct netmap_ring *)((char *)(nifp) + (nifp)->ring_ofs[i]))
#define NETMAP_RXRING(nifp, i) ((struct netmap_ring *)((char *)(nifp) + (nifp)->ring_ofs[(i) + (nifp)->ni_tx_rings + 1]))
#define NETMAP_BUF(ring, index) ((char *)(ring) + (ring)->buf_ofs + (size_t)(index) * (ring)->nr_buf_size)
#define NETMAP_RING_NEXT(ring, i) ((i) + 1 == (ring)->num_slots ? 0 : (i) + 1)
