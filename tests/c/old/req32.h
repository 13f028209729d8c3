/* A request of the first API, without a version. */
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

#define NIOCGINFO _IOWR('i', 145, struct nmreq)
#define NIOCREGIF _IOWR('i', 146, struct nmreq)
NUMBER(NIOCGINFO, 0xC0206991);
NUMBER(NIOCREGIF, 0xC0206992);
