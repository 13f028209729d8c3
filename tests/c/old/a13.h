/* API 13, winter of 2018: NIOCCTRL. */
#define NETMAP_API 13

#include "req60.h"
#include "slot16.h"
#include "ring256.h"
#include "if56.h"
#include "macros.h"

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
