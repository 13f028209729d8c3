/* Sends numbered frames: gen -d DEVICE -i PORT [-n FRAMES, 0 for ever] [-l LENGTH] [-b BATCH]
 * [-g µs between batches] [-w poll|select|epoll|epollet|sync]
 * [-D last byte of the destination, default: broadcast] [-S sender] [-s first number] */
#include "client.h"

struct job {
	uint32_t frames, first, len, batch, gap;
	uint16_t sender;
	uint8_t dst[6];
};

/* Puts up to a batch of frames into a ring and returns their number. */
static uint32_t fill(struct netmap_ring *ring, const struct job *j, uint32_t seq, uint32_t most)
{
	uint32_t n = netmap_space(ring), i = ring->head;
	if (n > most)
		n = most;
	for (uint32_t k = 0; k < n; k++, i = netmap_next(ring, i)) {
		struct netmap_slot *slot = &ring->slot[i];
		struct frame *f = (struct frame *)netmap_buf(ring, slot->buf_idx);
		memcpy(f->dst, j->dst, sizeof(f->dst));
		frame_make(f, j->len, j->sender, seq + k);
		slot->len = (uint16_t)j->len;
		slot->flags = 0;
	}
	netmap_advance(ring, i);
	return n;
}

static int pending(const struct port *p)
{
	for (int i = 0; i < p->ntx; i++)
		if (netmap_next(p->tx[i], __atomic_load_n(&p->tx[i]->tail, __ATOMIC_ACQUIRE)) != p->tx[i]->head)
			return 1;
	return 0;
}

/* Waits until all frames are sent. A pipe has room after the other end has taken the frames. */
static void flush(const struct port *p)
{
	for (int i = 0; i < 100000; i++) {
		if (ioctl(p->fd, NIOCTXSYNC))
			err(1, "NIOCTXSYNC");
		if (!pending(p))
			return;
		usleep(100);
	}
	errx(1, "frames are left in the rings");
}

static void run(const struct port *p, const struct job *j, enum how how)
{
	struct waiter w = waiter_new(how, p->fd, POLLOUT);
	uint32_t sent = 0;
	for (int ring = 0; j->frames == 0 || sent < j->frames;) {
		/* epoll reports an edge once, so all room has to be used. */
		uint32_t n = 0;
		for (int i = 0; i < p->ntx && (j->frames == 0 || sent < j->frames); i++, ring = (ring + 1) % p->ntx) {
			uint32_t left = j->frames ? j->frames - sent : UINT32_MAX;
			uint32_t k = fill(p->tx[ring], j, j->first + sent, left < j->batch ? left : j->batch);
			sent += k;
			n += k;
		}
		if (n) {
			if (ioctl(p->fd, NIOCTXSYNC))
				err(1, "NIOCTXSYNC");
			if (j->gap)
				usleep(j->gap);
			continue;
		}
		short got = waiter_wait(&w, 10000);
		if (got == 0)
			errx(1, "no room for 10 s after %u frames", sent);
		if (got & POLLERR)
			errx(1, "poll returns %#x after %u frames", got, sent);
	}
	flush(p);
	printf("sent=%u\n", sent);
}

int main(int argc, char **argv)
{
	struct options o = {0};
	struct job j = {.frames = 1000, .len = 60, .batch = 256, .sender = 1};
	enum how how = POLL;
	struct port p;

	memset(j.dst, 0xff, sizeof(j.dst));
	for (int c; (c = getopt(argc, argv, COMMON_OPTIONS "n:l:b:g:w:D:S:s:")) != -1;) {
		if (common_option(&o, c, optarg))
			continue;
		switch (c) {
		case 'n': j.frames = (uint32_t)atoi(optarg); break;
		case 'l': j.len = (uint32_t)atoi(optarg); break;
		case 'b': j.batch = (uint32_t)atoi(optarg); break;
		case 'g': j.gap = (uint32_t)atoi(optarg); break;
		case 'w': how = parse_how(optarg); break;
		case 'S': j.sender = (uint16_t)atoi(optarg); break;
		case 's': j.first = (uint32_t)atoi(optarg); break;
		case 'D':
			memcpy(j.dst, "\x02\x00\x00\x00\x00", 5);
			j.dst[5] = (uint8_t)atoi(optarg);
			break;
		default: return 1;
		}
	}
	port_open(&p, &o);
	if (p.ntx == 0)
		errx(1, "no tx ring");
	say_ready();
	run(&p, &j, how);
	port_close(&p);
	return 0;
}
