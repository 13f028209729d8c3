/* The binary interface of /dev/netmap, API 14, on a little-endian machine with 64-bit pointers, as
 * far as a C program needs it to open a port and move frames. Names and numbers are those of the
 * interface; every layout is asserted.
 */
#ifndef TESTS_NETMAP_H
#define TESTS_NETMAP_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/time.h>

#define NETMAP_API 14

#define AT(type, field, where) \
	static_assert(offsetof(struct type, field) == (where), #type "." #field " has to be at " #where)
#define SIZE(type, size) static_assert(sizeof(struct type) == (size), #type " has to have " #size " bytes")

/* A packet buffer in a ring. */
struct netmap_slot {
	uint32_t buf_idx;
	uint16_t len;
	uint16_t flags; /* NS_* */
	uint64_t ptr;   /* an address (NS_INDIRECT) or an offset */
};
SIZE(netmap_slot, 16);
AT(netmap_slot, len, 4);
AT(netmap_slot, flags, 6);
AT(netmap_slot, ptr, 8);

#define NS_BUF_CHANGED 0x0001 /* buf_idx has changed */
#define NS_REPORT      0x0002
#define NS_FORWARD     0x0004
#define NS_NO_LEARN    0x0008
#define NS_INDIRECT    0x0010
#define NS_MOREFRAG    0x0020 /* the packet goes on in the next slot */
#define NS_TXMON       0x0040
#define NS_RFRAGS(slot) ((slot)->flags >> 8) /* slots of a packet that came from a VALE switch */

/* A ring, which num_slots slots follow. The program owns the slots from head to before tail, and
 * writes head and cur. */
struct netmap_ring {
	int64_t  buf_ofs; /* from here to buffer 0 */
	uint32_t num_slots;
	uint32_t nr_buf_size;
	uint16_t ringid;
	uint16_t dir; /* 1 tx, 0 rx */
	uint32_t head;
	uint32_t cur;
	uint32_t tail;
	uint32_t flags; /* NR_TIMESTAMP, NR_FORWARD */
	struct timeval ts __attribute__((aligned(8)));
	uint64_t offset_mask;
	uint64_t buf_align;
	uint8_t  unused[56];
	uint8_t  sem[128];
	struct netmap_slot slot[];
};
SIZE(netmap_ring, 256);
AT(netmap_ring, num_slots, 8);
AT(netmap_ring, nr_buf_size, 12);
AT(netmap_ring, ringid, 16);
AT(netmap_ring, dir, 18);
AT(netmap_ring, head, 20);
AT(netmap_ring, cur, 24);
AT(netmap_ring, tail, 28);
AT(netmap_ring, flags, 32);
AT(netmap_ring, ts, 40);
AT(netmap_ring, offset_mask, 56);
AT(netmap_ring, buf_align, 64);
AT(netmap_ring, sem, 128);
AT(netmap_ring, slot, 256);

#define NR_TIMESTAMP 0x0002
#define NR_FORWARD   0x0004

/* The bound rings of a descriptor. ring_ofs has their distances from here: tx, host tx, rx and host
 * rx rings; 0 for rings that are not bound. */
struct netmap_if {
	char     ni_name[16];
	uint32_t ni_version;
	uint32_t ni_flags;
	uint32_t ni_tx_rings;
	uint32_t ni_rx_rings;
	uint32_t ni_bufs_head; /* first extra buffer; each starts with the index of the next one */
	uint32_t ni_host_tx_rings;
	uint32_t ni_host_rx_rings;
	uint32_t ni_spare1[3];
	int64_t  ring_ofs[];
};
SIZE(netmap_if, 56);
AT(netmap_if, ni_version, 16);
AT(netmap_if, ni_flags, 20);
AT(netmap_if, ni_tx_rings, 24);
AT(netmap_if, ni_rx_rings, 28);
AT(netmap_if, ni_bufs_head, 32);
AT(netmap_if, ni_host_tx_rings, 36);
AT(netmap_if, ni_host_rx_rings, 40);
AT(netmap_if, ring_ofs, 56);

/* The request of the legacy ioctls. */
struct nmreq {
	char     nr_name[16];
	uint32_t nr_version;
	uint32_t nr_offset;
	uint32_t nr_memsize;
	uint32_t nr_tx_slots;
	uint32_t nr_rx_slots;
	uint16_t nr_tx_rings;
	uint16_t nr_rx_rings;
	uint16_t nr_ringid; /* number and NETMAP_* */
	uint16_t nr_cmd;
	uint16_t nr_arg1;
	uint16_t nr_arg2; /* memory id */
	uint32_t nr_arg3; /* extra buffers */
	uint32_t nr_flags; /* NR_REG_* in the low four bits, NR_* above */
	uint32_t spare2;
};
SIZE(nmreq, 60);
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

#define NETMAP_RING_MASK  0x0fff
#define NETMAP_NO_TX_POLL 0x1000
#define NETMAP_SW_RING    0x2000
#define NETMAP_HW_RING    0x4000
#define NETMAP_DO_RX_POLL 0x8000

#define NETMAP_BDG_LIST 4 /* nr_cmd */

/* The header of every NIOCCTRL request. */
struct nmreq_header {
	uint16_t nr_version;
	uint16_t nr_reqtype; /* NETMAP_REQ_* */
	uint32_t nr_reserved;
	char     nr_name[64];
	uint64_t nr_options; /* address of the first one */
	uint64_t nr_body;    /* address */
};
SIZE(nmreq_header, 88);
AT(nmreq_header, nr_reqtype, 2);
AT(nmreq_header, nr_reserved, 4);
AT(nmreq_header, nr_name, 8);
AT(nmreq_header, nr_options, 72);
AT(nmreq_header, nr_body, 80);

enum {
	NETMAP_REQ_REGISTER = 1,
	NETMAP_REQ_PORT_INFO_GET,
	NETMAP_REQ_VALE_ATTACH,
	NETMAP_REQ_VALE_DETACH,
	NETMAP_REQ_VALE_LIST,
	NETMAP_REQ_PORT_HDR_SET,
	NETMAP_REQ_PORT_HDR_GET,
	NETMAP_REQ_VALE_NEWIF,
	NETMAP_REQ_VALE_DELIF,
	NETMAP_REQ_VALE_POLLING_ENABLE,
	NETMAP_REQ_VALE_POLLING_DISABLE,
	NETMAP_REQ_POOLS_INFO_GET,
	NETMAP_REQ_SYNC_KLOOP_START,
	NETMAP_REQ_SYNC_KLOOP_STOP,
	NETMAP_REQ_CSB_ENABLE,
};

/* The header of every option of a request. */
struct nmreq_option {
	uint64_t nro_next; /* address */
	uint32_t nro_reqtype;
	uint32_t nro_status;
	uint64_t nro_size;
};
SIZE(nmreq_option, 24);
AT(nmreq_option, nro_reqtype, 8);
AT(nmreq_option, nro_status, 12);
AT(nmreq_option, nro_size, 16);

struct nmreq_register {
	uint64_t nr_offset;
	uint64_t nr_memsize;
	uint32_t nr_tx_slots;
	uint32_t nr_rx_slots;
	uint16_t nr_tx_rings;
	uint16_t nr_rx_rings;
	uint16_t nr_host_tx_rings;
	uint16_t nr_host_rx_rings;
	uint16_t nr_mem_id;
	uint16_t nr_ringid;
	uint32_t nr_mode;
	uint32_t nr_extra_bufs;
	uint32_t pad;
	uint64_t nr_flags;
};
SIZE(nmreq_register, 56);
AT(nmreq_register, nr_memsize, 8);
AT(nmreq_register, nr_tx_slots, 16);
AT(nmreq_register, nr_tx_rings, 24);
AT(nmreq_register, nr_host_tx_rings, 28);
AT(nmreq_register, nr_mem_id, 32);
AT(nmreq_register, nr_ringid, 34);
AT(nmreq_register, nr_mode, 36);
AT(nmreq_register, nr_extra_bufs, 40);
AT(nmreq_register, nr_flags, 48);

enum {
	NR_REG_DEFAULT,
	NR_REG_ALL_NIC,
	NR_REG_SW,
	NR_REG_NIC_SW,
	NR_REG_ONE_NIC,
	NR_REG_PIPE_MASTER,
	NR_REG_PIPE_SLAVE,
	NR_REG_NULL,
	NR_REG_ONE_SW,
};
#define NR_REG_MASK 0xf

#define NR_MONITOR_TX      0x100
#define NR_MONITOR_RX      0x200
#define NR_ZCOPY_MON       0x400
#define NR_EXCLUSIVE       0x800
#define NR_RX_RINGS_ONLY   0x2000
#define NR_TX_RINGS_ONLY   0x4000
#define NR_ACCEPT_VNET_HDR 0x8000
#define NR_DO_RX_POLL      0x10000
#define NR_NO_TX_POLL      0x20000

struct nmreq_port_info_get {
	uint64_t nr_memsize;
	uint32_t nr_tx_slots;
	uint32_t nr_rx_slots;
	uint16_t nr_tx_rings;
	uint16_t nr_rx_rings;
	uint16_t nr_host_tx_rings;
	uint16_t nr_host_rx_rings;
	uint16_t nr_mem_id;
	uint16_t pad[3];
};
SIZE(nmreq_port_info_get, 32);
AT(nmreq_port_info_get, nr_tx_rings, 16);
AT(nmreq_port_info_get, nr_mem_id, 24);

struct nmreq_vale_list {
	uint16_t nr_bridge_idx;
	uint16_t pad;
	uint32_t nr_port_idx;
};
SIZE(nmreq_vale_list, 8);
AT(nmreq_vale_list, nr_port_idx, 4);

struct nmreq_port_hdr {
	uint32_t nr_hdr_len;
	uint32_t pad;
};
SIZE(nmreq_port_hdr, 8);

struct nmreq_pools_info {
	uint64_t nr_memsize;
	uint16_t nr_mem_id;
	uint16_t pad[3];
	uint64_t nr_if_pool_offset;
	uint32_t nr_if_pool_objtotal;
	uint32_t nr_if_pool_objsize;
	uint64_t nr_ring_pool_offset;
	uint32_t nr_ring_pool_objtotal;
	uint32_t nr_ring_pool_objsize;
	uint64_t nr_buf_pool_offset;
	uint32_t nr_buf_pool_objtotal;
	uint32_t nr_buf_pool_objsize;
};
SIZE(nmreq_pools_info, 64);
AT(nmreq_pools_info, nr_mem_id, 8);
AT(nmreq_pools_info, nr_if_pool_offset, 16);
AT(nmreq_pools_info, nr_ring_pool_offset, 32);
AT(nmreq_pools_info, nr_buf_pool_offset, 48);
AT(nmreq_pools_info, nr_buf_pool_objsize, 60);

enum { NETMAP_REQ_OPT_EXTMEM = 1, NETMAP_REQ_OPT_OFFSETS = 5 };

struct nmreq_opt_extmem {
	struct nmreq_option nro_opt;
	uint64_t nro_usrptr;
	struct nmreq_pools_info nro_info;
};
SIZE(nmreq_opt_extmem, 96);
AT(nmreq_opt_extmem, nro_usrptr, 24);
AT(nmreq_opt_extmem, nro_info, 32);

struct nmreq_opt_offsets {
	struct nmreq_option nro_opt;
	uint64_t nro_max_offset;
	uint64_t nro_initial_offset;
	uint32_t nro_offset_bits;
	uint32_t nro_tx_align;
	uint64_t nro_min_gap;
};
SIZE(nmreq_opt_offsets, 56);
AT(nmreq_opt_offsets, nro_max_offset, 24);
AT(nmreq_opt_offsets, nro_initial_offset, 32);
AT(nmreq_opt_offsets, nro_offset_bits, 40);
AT(nmreq_opt_offsets, nro_tx_align, 44);
AT(nmreq_opt_offsets, nro_min_gap, 48);

#define NIOCGINFO   _IOWR('i', 145, struct nmreq)
#define NIOCREGIF   _IOWR('i', 146, struct nmreq)
#define NIOCUNREGIF _IO('i', 147)
#define NIOCTXSYNC  _IO('i', 148)
#define NIOCRXSYNC  _IO('i', 149)
#define NIOCCTRL    _IOWR('i', 151, struct nmreq_header)

static_assert(NIOCGINFO == 0xC03C6991, "NIOCGINFO");
static_assert(NIOCREGIF == 0xC03C6992, "NIOCREGIF");
static_assert(NIOCTXSYNC == 0x6994 && NIOCRXSYNC == 0x6995, "NIOC*SYNC");
static_assert(NIOCCTRL == 0xC0586997, "NIOCCTRL");

/* The rx rings follow the tx rings and the host tx rings. */
static inline struct netmap_ring *netmap_ring_at(struct netmap_if *nifp, uint32_t i)
{
	return nifp->ring_ofs[i] ? (struct netmap_ring *)((char *)nifp + nifp->ring_ofs[i]) : NULL;
}

static inline struct netmap_ring *netmap_txring(struct netmap_if *nifp, uint32_t i)
{
	return netmap_ring_at(nifp, i);
}

static inline struct netmap_ring *netmap_rxring(struct netmap_if *nifp, uint32_t i)
{
	return netmap_ring_at(nifp, i + nifp->ni_tx_rings + nifp->ni_host_tx_rings);
}

static inline char *netmap_buf(struct netmap_ring *ring, uint32_t index)
{
	return (char *)ring + ring->buf_ofs + (size_t)index * ring->nr_buf_size;
}

static inline uint32_t netmap_next(struct netmap_ring *ring, uint32_t i)
{
	return i + 1 == ring->num_slots ? 0 : i + 1;
}

/* The number of the program's slots. The framework publishes tail: read it before the slots. */
static inline uint32_t netmap_space(struct netmap_ring *ring)
{
	uint32_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
	return tail >= ring->head ? tail - ring->head : tail + ring->num_slots - ring->head;
}

/* Releases all slots before i. */
static inline void netmap_advance(struct netmap_ring *ring, uint32_t i)
{
	__atomic_store_n(&ring->cur, i, __ATOMIC_RELEASE);
	__atomic_store_n(&ring->head, i, __ATOMIC_RELEASE);
}

#undef AT
#undef SIZE
#endif
