/* The traffic generator of the first manual page, a receiver, and a forwarder between an interface
 * and its host stack, which runs until it is killed:
 * traffic -d DEVICE -i PORT -f tx|rx|host [-n FRAMES] [-r RING, default: all]
 * [-w poll|select|sync] [-b frames a sync at most] [-g µs between syncs]
 * [-t milliseconds without a frame after which a receiver ends] [-m map before binding]
 * It is compiled once for every API, with -DNETMAP_H naming the header. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <unistd.h>

#include NETMAP_H
#include "frame.h"

static const char *device, *port, *how = "poll";
static uint32_t frames = 1000, most = 256, gap;
static int ringid = -1, patience = 10000, map_first;

/* A bound port. */
struct port {
	int fd;
	struct netmap_if *nifp;
	uint32_t first, rings; /* in each direction */
};

/* The number of the program's slots from cur on, and the step past one of them. */
#if defined(NETMAP_API) && NETMAP_API >= 10
static uint32_t slots(const struct netmap_ring *ring)
{
	uint32_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
	return tail >= ring->cur ? tail - ring->cur : tail + ring->num_slots - ring->cur;
}

static void move_on(struct netmap_ring *ring)
{
	ring->head = ring->cur = NETMAP_RING_NEXT(ring, ring->cur);
}
#else
static uint32_t slots(const struct netmap_ring *ring)
{
	return ring->avail;
}

static void move_on(struct netmap_ring *ring)
{
	ring->cur = NETMAP_RING_NEXT(ring, ring->cur);
	ring->avail--;
}
#endif

static void give_up(const char *what)
{
	printf("errno=%d\n", errno);
	warn("%s %s", what, port);
	exit(2);
}

struct answer {
	size_t offset, size;
	uint32_t rings;
};

#ifdef NIOCCTRL
static struct answer bind_port(int fd, int host)
{
	struct nmreq_register r = {.nr_mode = ringid < 0 ? NR_REG_ALL_NIC : NR_REG_ONE_NIC, .nr_ringid = (uint16_t)(ringid < 0 ? 0 : ringid)};
	if (host)
		r.nr_mode = NR_REG_SW;
	struct nmreq_header h = {.nr_version = NETMAP_API, .nr_reqtype = NETMAP_REQ_REGISTER, .nr_body = (uintptr_t)&r};
	strncpy(h.nr_name, port, sizeof(h.nr_name) - 1);
	if (ioctl(fd, NIOCCTRL, &h))
		give_up("bind");
	return (struct answer){r.nr_offset, r.nr_memsize, r.nr_tx_rings};
}
#else
static struct answer bind_port(int fd, int host)
{
	struct nmreq r = {.nr_ringid = (uint16_t)(host ? NETMAP_SW_RING : ringid < 0 ? 0 : NETMAP_HW_RING | ringid)};
#ifdef NETMAP_API
	r.nr_version = NETMAP_API;
#endif
	strncpy(r.nr_name, port, sizeof(r.nr_name) - 1);
	if (ioctl(fd, NIOCREGIF, &r))
		give_up("bind");
#ifdef NETMAP_API
	return (struct answer){r.nr_offset, r.nr_memsize, r.nr_tx_rings};
#else
	return (struct answer){r.nr_offset, r.nr_memsize, r.nr_numrings};
#endif
}
#endif

static size_t memory_size(int fd)
{
	struct nmreq r = {0};
#ifdef NETMAP_API
	r.nr_version = NETMAP_API;
#endif
	if (ioctl(fd, NIOCGINFO, &r))
		give_up("describe");
	return r.nr_memsize;
}

static struct port open_port(int host)
{
	int fd = open(device, O_RDWR);
	if (fd < 0)
		err(1, "open %s", device);
	size_t size = memory_size(fd);
	char *mem = map_first ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : NULL;
	struct answer a = bind_port(fd, host);
	if (!map_first)
		mem = mmap(NULL, a.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		err(1, "mmap");
	if (a.size != size)
		errx(1, "the region has %zu bytes by one request and %zu by the other", size, a.size);
	struct port p = {.fd = fd, .nifp = NETMAP_IF(mem, a.offset), .rings = ringid < 0 && !host ? a.rings : 1};
	p.first = host ? a.rings : ringid < 0 ? 0 : (uint32_t)ringid;
	return p;
}

/* Waits for slots. Returns 0 after a timeout. */
static int await(int fd, short events, int ms)
{
	if (!strcmp(how, "sync")) {
		if (ioctl(fd, events == POLLIN ? NIOCRXSYNC : NIOCTXSYNC))
			err(1, "sync");
		usleep(100);
		return 1;
	}
	if (!strcmp(how, "select")) {
		fd_set set;
		struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
		FD_ZERO(&set);
		FD_SET(fd, &set);
		return select(fd + 1, events == POLLIN ? &set : NULL, events == POLLIN ? NULL : &set, NULL, &t) > 0;
	}
	struct pollfd p = {.fd = fd, .events = events};
	if (poll(&p, 1, ms) <= 0)
		return 0;
	if (p.revents & POLLERR)
		errx(1, "poll returns %#x", p.revents);
	return 1;
}

static void generate(const struct port *p)
{
	int fd = p->fd;
	uint32_t sent = 0;
	while (sent < frames) {
		if (!await(fd, POLLOUT, patience))
			errx(1, "no room after %u frames", sent);
		uint32_t batch = 0;
		for (uint32_t r = p->first; r < p->first + p->rings; r++) {
			struct netmap_ring *ring = NETMAP_TXRING(p->nifp, r);
			while (slots(ring) > 0 && sent < frames && batch < most) {
				struct netmap_slot *slot = &ring->slot[ring->cur];
				struct frame *f = (struct frame *)NETMAP_BUF(ring, slot->buf_idx);
				memset(f->dst, 0xff, sizeof(f->dst));
				frame_make(f, MIN_FRAME, 1, sent);
				slot->len = MIN_FRAME;
				slot->flags = sent % 64 ? 0 : NS_REPORT;
				move_on(ring);
				sent++;
				batch++;
			}
		}
		if (gap) {
			if (ioctl(fd, NIOCTXSYNC))
				err(1, "NIOCTXSYNC");
			usleep(gap);
		}
	}
	/* Send all frames before close: a pipe has room after the other end has taken the frames. */
	for (uint32_t r = p->first; r < p->first + p->rings; r++) {
		struct netmap_ring *ring = NETMAP_TXRING(p->nifp, r);
		int tries = 0;
		do {
			if (ioctl(fd, NIOCTXSYNC))
				err(1, "NIOCTXSYNC");
			if (++tries > 50000)
				errx(1, "frames are left in ring %u", r);
		} while (slots(ring) < ring->num_slots - 1 && usleep(100) == 0);
	}
	printf("sent=%u\n", sent);
}

static void receive(const struct port *p)
{
	int fd = p->fd;
	uint32_t got = 0, bad = 0, reordered = 0, next = 0;
	for (int idle = 0; got < frames && idle <= patience * 10; idle++) {
		if (!await(fd, POLLIN, patience))
			break;
		for (uint32_t r = p->first; r < p->first + p->rings; r++) {
			struct netmap_ring *ring = NETMAP_RXRING(p->nifp, r);
			for (; slots(ring) > 0; move_on(ring)) {
				const struct netmap_slot *slot = &ring->slot[ring->cur];
				const struct frame *f = (const struct frame *)NETMAP_BUF(ring, slot->buf_idx);
				idle = 0;
				if (!frame_is_ours(f, slot->len))
					continue; /* a frame of the host itself */
				got++;
				bad += !frame_is_whole(f, slot->len);
				reordered += f->seq < next;
				next = f->seq + 1;
			}
		}
	}
	ioctl(fd, NIOCRXSYNC); /* releases the slots: a sender on a pipe waits for them */
	printf("got=%u bad=%u reordered=%u\n", got, bad, reordered);
}

/* Moves frames by exchanging buffers. */
static void move_frames(const struct port *from, const struct port *to)
{
	for (uint32_t r = from->first; r < from->first + from->rings; r++) {
		struct netmap_ring *rx = NETMAP_RXRING(from->nifp, r);
		struct netmap_ring *tx = NETMAP_TXRING(to->nifp, to->first + (r - from->first) % to->rings);
		for (; slots(rx) > 0 && slots(tx) > 0; move_on(rx), move_on(tx)) {
			struct netmap_slot *a = &rx->slot[rx->cur], *b = &tx->slot[tx->cur];
			uint32_t buf = a->buf_idx;
			a->buf_idx = b->buf_idx;
			b->buf_idx = buf;
			b->len = a->len;
			a->flags = b->flags = NS_BUF_CHANGED;
		}
	}
	if (ioctl(to->fd, NIOCTXSYNC))
		err(1, "NIOCTXSYNC");
}

static void forward(const struct port *wire, const struct port *host)
{
	struct pollfd p[2] = {{.fd = wire->fd, .events = POLLIN}, {.fd = host->fd, .events = POLLIN}};
	while (poll(p, 2, 10000) >= 0 && !((p[0].revents | p[1].revents) & POLLERR)) {
		move_frames(wire, host);
		move_frames(host, wire);
	}
	errx(1, "poll returns %#x and %#x", p[0].revents, p[1].revents);
}

int main(int argc, char **argv)
{
	const char *function = "rx";
	for (int c; (c = getopt(argc, argv, "d:i:f:n:r:w:b:g:t:m")) != -1;)
		switch (c) {
		case 'd': device = optarg; break;
		case 'i': port = optarg; break;
		case 'f': function = optarg; break;
		case 'n': frames = (uint32_t)atoi(optarg); break;
		case 'r': ringid = atoi(optarg); break;
		case 'w': how = optarg; break;
		case 'b': most = (uint32_t)atoi(optarg); break;
		case 'g': gap = (uint32_t)atoi(optarg); break;
		case 't': patience = atoi(optarg); break;
		case 'm': map_first = 1; break;
		default: return 1;
		}
	struct port p = open_port(0), host = {0};
	if (*function == 'h')
		host = open_port(1);
	printf("ready\n");
	fflush(stdout);
	if (*function == 'h')
		forward(&p, &host);
	else if (*function == 't')
		generate(&p);
	else
		receive(&p);
	close(p.fd);
	return 0;
}
