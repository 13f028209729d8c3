/* An interface of API 2 to 4. rx comes before tx. */
#include "assert.h"

struct netmap_if {
	char ni_name[IFNAMSIZ];
	uint32_t ni_version;
	uint32_t ni_rx_rings;
	uint32_t ni_tx_rings;
	ssize_t ring_ofs[];
};
AT(netmap_if, ni_name, 0);
AT(netmap_if, ni_version, 16);
AT(netmap_if, ni_rx_rings, 20);
AT(netmap_if, ni_tx_rings, 24);
AT(netmap_if, ring_ofs, 32);
SIZE(netmap_if, 32);
