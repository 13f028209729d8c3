/* Receives numbered frames: sink -d DEVICE -i PORT [-n FRAMES, 0 for ever]
 * [-t milliseconds without a frame after which it ends] [-w poll|select|epoll|epollet|sync]
 * [-H only hold the port until it is killed]
 * Prints the numbers of frames received, damaged, and out of their sender's order. */
#include "client.h"

static struct {
	uint32_t got, bad, reordered, next[65536];
} count;

static void look(const struct frame *f, uint32_t len)
{
	if (!frame_is_ours(f, len))
		return; /* a frame of the host itself */
	count.got++;
	if (!frame_is_whole(f, len))
		count.bad++;
	if (f->seq < count.next[f->sender])
		count.reordered++;
	count.next[f->sender] = f->seq + 1;
}

static uint32_t drain(struct netmap_ring *ring)
{
	uint32_t n = netmap_space(ring), i = ring->head;
	for (uint32_t k = 0; k < n; k++, i = netmap_next(ring, i))
		look((struct frame *)netmap_buf(ring, ring->slot[i].buf_idx), ring->slot[i].len);
	netmap_advance(ring, i);
	return n;
}

static uint32_t drain_all(const struct port *p)
{
	uint32_t n = 0;
	for (int i = 0; i < p->nrx; i++)
		n += drain(p->rx[i]);
	return n;
}

/* Takes all frames that are there. epoll reports an edge once, so no frame may be left. */
static void take(const struct port *p, enum how how)
{
	while (drain_all(p) && how == EPOLL_ET)
		if (ioctl(p->fd, NIOCRXSYNC))
			err(1, "NIOCRXSYNC");
}

int main(int argc, char **argv)
{
	struct options o = {0};
	uint32_t frames = 1000;
	int patience = 10000, hold = 0;
	enum how how = POLL;
	struct port p;

	for (int c; (c = getopt(argc, argv, COMMON_OPTIONS "n:t:w:H")) != -1;) {
		if (common_option(&o, c, optarg))
			continue;
		switch (c) {
		case 'n': frames = (uint32_t)atoi(optarg); break;
		case 't': patience = atoi(optarg); break;
		case 'w': how = parse_how(optarg); break;
		case 'H': hold = 1; break;
		default: return 1;
		}
	}
	port_open(&p, &o);
	say_ready();
	if (hold) {
		struct waiter w = waiter_new(how, p.fd, POLLIN);
		short got = waiter_wait(&w, -1);
		printf("events=%d\n", got);
		return 0;
	}
	struct waiter w = waiter_new(how, p.fd, POLLIN);
	int waited = 0; /* ms, in mode sync */
	while (frames == 0 || count.got < frames) {
		uint32_t before = count.got;
		short got = waiter_wait(&w, frames ? patience : -1);
		if (got & POLLERR) {
			printf("events=%d\n", got);
			break;
		}
		take(&p, how);
		waited = count.got != before ? 0 : waited + 1;
		if (got == 0 || (how == SYNC && waited > patience * 10))
			break;
	}
	ioctl(p.fd, NIOCRXSYNC); /* releases the slots: a sender on a pipe waits for them */
	printf("got=%u bad=%u reordered=%u\n", count.got, count.bad, count.reordered);
	port_close(&p);
	return 0;
}
