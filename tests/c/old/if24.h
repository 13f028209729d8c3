/* An interface of the first API, with as many rx queues as tx queues. */
#include "assert.h"

struct netmap_if {
	char ni_name[IFNAMSIZ];
	uint32_t ni_num_queues;
	ssize_t ring_ofs[];
};
AT(netmap_if, ni_name, 0);
AT(netmap_if, ni_num_queues, 16);
AT(netmap_if, ring_ofs, 24);
SIZE(netmap_if, 24);
