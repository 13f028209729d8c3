/* The example of the first manual page as printed, without its typing errors:
 * page -d DEVICE -i PORT [-n FRAMES]. It sends numbered frames, at most FRAMES, until it is killed. */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "old/a0page.h"
#include "frame.h"

int main(int argc, char **argv)
{
	struct netmap_if *nifp;
	struct netmap_ring *ring;
	struct nmreq nmr;
	struct pollfd fds;
	const char *device = "/dev/netmap", *port = "ix0";
	uint32_t i, frames = 0, seq = 0;
	char *p, *buf;
	int fd;

	for (int c; (c = getopt(argc, argv, "d:i:n:")) != -1;)
		switch (c) {
		case 'd': device = optarg; break;
		case 'i': port = optarg; break;
		case 'n': frames = (uint32_t)atoi(optarg); break;
		default: return 1;
		}

	fd = open(device, O_RDWR);
	bzero(&nmr, sizeof(nmr));
	strncpy(nmr.nr_name, port, sizeof(nmr.nr_name) - 1);
	if (ioctl(fd, NIOCREGIF, &nmr))
		err(1, "NIOCREGIF %s", port);
	p = mmap(0, nmr.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		err(1, "mmap");
	nifp = NETMAP_IF(p, nmr.nr_offset);
	ring = NETMAP_TXRING(nifp, 0);
	printf("ready\n");
	fflush(stdout);
	fds.fd = fd;
	fds.events = POLLOUT;
	for (;;) {
		poll(&fds, 1, -1);
		while (ring->avail-- > 0) {
			if (frames && seq == frames) {
				ioctl(fd, NIOCTXSYNC);
				pause();
			}
			i = ring->cur;
			buf = NETMAP_BUF(ring, ring->slot[i].buf_idx);
			memset(buf, 0xff, 6);
			frame_make((struct frame *)buf, MIN_FRAME, 1, seq++);
			ring->slot[i].len = MIN_FRAME;
			ring->cur = NETMAP_RING_NEXT(ring, i);
		}
	}
}
