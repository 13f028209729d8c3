/* A request of API 2 and later. Later APIs use the spare words. */
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
#if NETMAP_API < 4
	uint16_t spare1;
	uint32_t spare2[4];
#else
	uint16_t nr_cmd;
	uint16_t nr_arg1;
	uint16_t nr_arg2;
#if NETMAP_API < 11
	uint32_t spare2[3];
#else
	uint32_t nr_arg3;
	uint32_t nr_flags;
	uint32_t spare2[1];
#endif
#endif
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
#if NETMAP_API < 4
AT(nmreq, spare1, 42);
AT(nmreq, spare2, 44);
#else
AT(nmreq, nr_cmd, 42);
AT(nmreq, nr_arg1, 44);
AT(nmreq, nr_arg2, 46);
#if NETMAP_API < 11
AT(nmreq, spare2, 48);
#else
AT(nmreq, nr_arg3, 48);
AT(nmreq, nr_flags, 52);
AT(nmreq, spare2, 56);
#endif
#endif
SIZE(nmreq, 60);

#define NIOCGINFO _IOWR('i', 145, struct nmreq)
#define NIOCREGIF _IOWR('i', 146, struct nmreq)
NUMBER(NIOCGINFO, 0xC03C6991);
NUMBER(NIOCREGIF, 0xC03C6992);
