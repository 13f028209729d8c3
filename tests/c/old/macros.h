/* Constants, requests without a body, and address macros; without NETMAP_API those of June 2011. */
#include "assert.h"

#define NETMAP_RING_MASK 0x0fff
#define NETMAP_NO_TX_POLL 0x1000
#define NETMAP_SW_RING 0x2000
#define NETMAP_HW_RING 0x4000
#define NS_BUF_CHANGED 0x0001
#define NS_REPORT 0x0002

#if !defined(NETMAP_API) || NETMAP_API < 10
#define NIOCUNREGIF _IO('i', 147)
NUMBER(NIOCUNREGIF, 0x00006993);
#endif
#define NIOCTXSYNC _IO('i', 148)
#define NIOCRXSYNC _IO('i', 149)
NUMBER(NIOCTXSYNC, 0x00006994);
NUMBER(NIOCRXSYNC, 0x00006995);

#define NETMAP_IF(base, offset) ((struct netmap_if *)((char *)(base) + (offset)))
#define NETMAP_TXRING(nifp, i) ((struct netmap_ring *)((char *)(nifp) + (nifp)->ring_ofs[i]))
#define NETMAP_RING_NEXT(ring, i) ((i) + 1 == (ring)->num_slots ? 0 : (i) + 1)
#ifdef NETMAP_API
#define NETMAP_RXRING(nifp, i) ((struct netmap_ring *)((char *)(nifp) + (nifp)->ring_ofs[(i) + (nifp)->ni_tx_rings + 1]))
#define NETMAP_BUF(ring, index) ((char *)(ring) + (ring)->buf_ofs + (size_t)(index) * (ring)->nr_buf_size)
#else
#define NETMAP_RXRING(nifp, i) ((struct netmap_ring *)((char *)(nifp) + (nifp)->ring_ofs[(i) + (nifp)->ni_num_queues + 1]))
#define NETMAP_BUF(ring, index) ((char *)(ring) + (ring)->buf_ofs + (size_t)(index) * 2048)
#endif
