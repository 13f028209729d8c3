/* Checks what the first manual page documents:
 * manual -d DEVICE -i PORT -o ANOTHER-PORT-OF-THE-SWITCH. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "old/a0.h"
#include "frame.h"

#define NR_REINIT 0x0001

static const char *device, *port, *other;
static char *mem;
static int wrong;

#define WANT(cond, what) want(__LINE__, (cond), what)
#define FAILS(call, e, what) WANT((errno = 0, (call) == -1) && errno == (e), what)

static void want(int line, int ok, const char *what)
{
	if (ok)
		return;
	printf("line %d: %s, errno %d\n", line, what, errno);
	wrong = 1;
}

static struct nmreq request(const char *name, int ringid)
{
	struct nmreq r = {.nr_ringid = (uint16_t)ringid};
	strncpy(r.nr_name, name, sizeof(r.nr_name) - 1);
	return r;
}

static int open_device(void)
{
	int fd = open(device, O_RDWR);
	if (fd < 0)
		err(1, "open %s", device);
	return fd;
}

static struct netmap_if *bind_port(int fd, const char *name, int ringid)
{
	struct nmreq r = request(name, ringid);
	if (ioctl(fd, NIOCREGIF, &r))
		err(1, "NIOCREGIF %s", name);
	WANT(r.nr_ringid == ringid, "nr_ringid selects the rings");
	return NETMAP_IF(mem, r.nr_offset);
}

static short events(int fd, short wanted)
{
	struct pollfd p = {.fd = fd, .events = wanted};
	return poll(&p, 1, 0) > 0 ? p.revents : 0;
}

/* Before NIOCREGIF. This also maps the memory. */
static void unbound(int fd)
{
	struct nmreq r = request("", 0);
	WANT(ioctl(fd, NIOCGINFO, &r) == 0 && r.nr_memsize > 0 && r.nr_numrings == 0, "NIOCGINFO without a name");
	mem = mmap(NULL, r.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		err(1, "mmap before NIOCREGIF");
	r = request(port, 0);
	WANT(ioctl(fd, NIOCGINFO, &r) == 0 && r.nr_numrings == 1 && r.nr_numslots == 1024, "NIOCGINFO");
	r = request("nosuchif0", 0);
	FAILS(ioctl(fd, NIOCGINFO, &r), ENXIO, "NIOCGINFO of a port that does not exist");
	FAILS(ioctl(fd, NIOCREGIF, &r), ENXIO, "NIOCREGIF of a port that does not exist");
	FAILS(ioctl(fd, NIOCTXSYNC), ENXIO, "NIOCTXSYNC, unbound");
	FAILS(ioctl(fd, NIOCRXSYNC), ENXIO, "NIOCRXSYNC, unbound");
	FAILS(ioctl(fd, NIOCUNREGIF), ENXIO, "NIOCUNREGIF, unbound");
	WANT(events(fd, POLLIN | POLLOUT) == POLLERR, "poll, unbound");
}

static void fresh_rings(const struct netmap_if *nifp)
{
	WANT(strcmp(nifp->ni_name, port) == 0 && nifp->ni_num_queues == 1, "netmap_if");
	struct netmap_ring *tx = NETMAP_TXRING(nifp, 0), *rx = NETMAP_RXRING(nifp, 0);
	WANT(tx->num_slots == 1024 && tx->cur == 0 && tx->avail == 1023 && tx->nr_buf_size == 2048, "tx ring");
	WANT(rx->num_slots == 1024 && rx->cur == 0 && rx->avail == 0, "rx ring");
	for (uint32_t i = 0; i < tx->num_slots; i++)
		WANT(tx->slot[i].buf_idx >= 2 && tx->slot[i].len == 2048, "tx slot");
	struct netmap_ring *host_tx = NETMAP_TXRING(nifp, 1), *host_rx = NETMAP_RXRING(nifp, 1);
	WANT(host_tx->num_slots == 1024 && host_tx->avail == 0 && host_rx->num_slots == 1024 && host_rx->avail == 0, "ring pair N");
	WANT(host_tx != tx && host_rx != rx && host_tx != host_rx, "the rings differ");
}

/* Puts a frame into the ring. */
static void put(struct netmap_ring *ring, uint32_t seq, uint16_t flags)
{
	struct netmap_slot *slot = &ring->slot[ring->cur];
	struct frame *f = (struct frame *)NETMAP_BUF(ring, slot->buf_idx);
	memset(f->dst, 0xff, sizeof(f->dst));
	frame_make(f, MIN_FRAME, 1, seq);
	slot->len = MIN_FRAME;
	slot->flags = flags;
	ring->cur = NETMAP_RING_NEXT(ring, ring->cur);
	ring->avail--;
}

static void want_frame(int fd, struct netmap_ring *ring, uint32_t seq)
{
	WANT(events(fd, POLLIN) == POLLIN && ring->avail == 1, "a frame");
	const struct netmap_slot *slot = &ring->slot[ring->cur];
	const struct frame *f = (const struct frame *)NETMAP_BUF(ring, slot->buf_idx);
	WANT(slot->len == MIN_FRAME && frame_is_ours(f, slot->len) && frame_is_whole(f, slot->len) && f->seq == seq, "the frame is whole");
	WANT(slot->flags == 0, "no flags that the API does not know");
	WANT(ring->ts.tv_sec > 0, "ts");
	WANT(events(fd, POLLIN) == POLLIN && ring->avail == 1, "the frame stays until it is read");
	ring->cur = NETMAP_RING_NEXT(ring, ring->cur);
	ring->avail--;
	WANT(events(fd, POLLIN) == 0, "no frame");
}

/* Frames are sent by ioctl, by poll for other events, not by poll with NETMAP_NO_TX_POLL, and from
 * another buffer. */
static void sends(int fd, struct netmap_if *nifp, int to, struct netmap_ring *rx)
{
	struct netmap_ring *tx = NETMAP_TXRING(nifp, 0);
	put(tx, 1, NS_REPORT);
	WANT(ioctl(fd, NIOCTXSYNC) == 0 && tx->avail == 1023 && tx->slot[0].flags == 0, "NIOCTXSYNC");
	want_frame(to, rx, 1);
	put(tx, 2, 0);
	WANT(events(fd, POLLIN) == 0, "poll that sends");
	want_frame(to, rx, 2);

	bind_port(fd, port, NETMAP_NO_TX_POLL);
	put(tx, 3, 0);
	WANT(events(fd, POLLIN | POLLOUT) == POLLOUT && events(to, POLLIN) == 0, "poll that does not send");
	WANT(ioctl(fd, NIOCTXSYNC) == 0, "NIOCTXSYNC");
	want_frame(to, rx, 3);
	bind_port(fd, port, 0);

	uint32_t at = tx->cur, spare = tx->slot[100].buf_idx;
	tx->slot[100].buf_idx = tx->slot[at].buf_idx;
	tx->slot[100].flags = NS_BUF_CHANGED;
	tx->slot[at].buf_idx = spare;
	put(tx, 4, NS_BUF_CHANGED);
	WANT(ioctl(fd, NIOCTXSYNC) == 0 && tx->slot[at].buf_idx == spare && !(tx->slot[at].flags & NS_BUF_CHANGED), "NS_BUF_CHANGED");
	want_frame(to, rx, 4);
}

/* NIOCREGIF may be called several times on a descriptor, for the same port. */
static void rebinds(int fd, struct netmap_if *nifp)
{
	struct nmreq r = request(port, NETMAP_HW_RING | 1);
	FAILS(ioctl(fd, NIOCREGIF, &r), EINVAL, "a ring that does not exist");
	r.nr_ringid = NETMAP_SW_RING;
	FAILS(ioctl(fd, NIOCREGIF, &r), EINVAL, "host rings of a switch");
	WANT(ioctl(fd, NIOCTXSYNC) == 0, "the rings are still bound");
	WANT(bind_port(fd, port, NETMAP_HW_RING | 0) == nifp, "the interface stays where it is");

	/* Threads open descriptors of their own, and use the first one's mapping. */
	int thread = open_device();
	struct netmap_if *its = bind_port(thread, port, NETMAP_HW_RING | 0);
	WANT(NETMAP_TXRING(its, 0) == NETMAP_TXRING(nifp, 0) && NETMAP_RXRING(its, 0) == NETMAP_RXRING(nifp, 0), "one ring for all");
	close(thread);
	bind_port(fd, port, 0);
}

/* A bad ring: a sync puts it back, and poll reports it. */
static void nonsense(int fd, struct netmap_if *nifp)
{
	struct netmap_ring *tx = NETMAP_TXRING(nifp, 0);
	uint32_t cur = tx->cur;
	tx->cur = tx->num_slots + 5;
	WANT(ioctl(fd, NIOCTXSYNC) == 0 && tx->cur == cur && tx->avail == 1023, "NIOCTXSYNC puts cur back");
	WANT(tx->flags & NR_REINIT, "NR_REINIT");
	WANT(events(fd, POLLOUT) == POLLERR && !(tx->flags & NR_REINIT), "poll reports and clears NR_REINIT");
	uint32_t mine = tx->slot[cur].buf_idx;
	tx->slot[cur].buf_idx = 0x7fffffff;
	tx->cur = NETMAP_RING_NEXT(tx, cur);
	WANT(events(fd, POLLIN) & POLLERR, "a buffer that does not exist");
	WANT(tx->cur == cur && tx->slot[cur].buf_idx == 0 && tx->slot[cur].len == 0, "the slot is emptied");
	tx->slot[cur].buf_idx = mine;
	WANT(events(fd, POLLOUT) == POLLERR, "once more");
	WANT(events(fd, POLLOUT) == POLLOUT, "no error after that");
}

int main(int argc, char **argv)
{
	for (int c; (c = getopt(argc, argv, "d:i:o:")) != -1;)
		*(c == 'd' ? &device : c == 'i' ? &port : &other) = optarg;
	int fd = open_device(), to = open_device();
	unbound(fd);
	struct netmap_if *nifp = bind_port(fd, port, 0);
	fresh_rings(nifp);
	struct netmap_ring *rx = NETMAP_RXRING(bind_port(to, other, 0), 0);
	sends(fd, nifp, to, rx);
	rebinds(fd, nifp);
	nonsense(fd, nifp);
	WANT(ioctl(fd, NIOCUNREGIF) == 0, "NIOCUNREGIF");
	FAILS(ioctl(fd, NIOCUNREGIF), ENXIO, "NIOCUNREGIF, twice");
	FAILS(ioctl(fd, NIOCTXSYNC), ENXIO, "NIOCTXSYNC after NIOCUNREGIF");
	WANT(events(fd, POLLOUT) == POLLERR, "poll after NIOCUNREGIF");
	fresh_rings(bind_port(fd, port, 0));
	return wrong;
}
