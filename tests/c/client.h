/* Shared by the test clients: options, both ways to open a port, five ways to wait, and frames with
 * contents that can be checked. */
#ifndef TESTS_CLIENT_H
#define TESTS_CLIENT_H

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <unistd.h>

#include "frame.h"
#include "netmap.h"

#define MAX_RINGS 64

struct options {
	const char *device, *port;
	int api;             /* of a legacy NIOCREGIF, 0 for NIOCCTRL */
	uint32_t mode;       /* NR_REG_*, 0 for all rings */
	uint32_t flags;      /* NR_* */
	uint16_t ringid, rings;
	uint32_t slots, extra;
};

struct port {
	int fd;
	char *mem;
	size_t size;
	struct netmap_if *nifp;
	uint32_t extra; /* extra buffers that were granted */
	struct netmap_ring *tx[MAX_RINGS], *rx[MAX_RINGS];
	int ntx, nrx;
};

static inline int bind_legacy(int fd, const struct options *o, struct nmreq_register *answer)
{
	struct nmreq r = {.nr_version = (uint32_t)o->api, .nr_flags = o->flags, .nr_ringid = o->ringid, .nr_tx_rings = o->rings,
		.nr_rx_rings = o->rings, .nr_tx_slots = o->slots, .nr_rx_slots = o->slots, .nr_arg3 = o->extra};
	r.nr_flags |= o->mode;
	strncpy(r.nr_name, o->port, sizeof(r.nr_name) - 1);
	if (ioctl(fd, NIOCREGIF, &r))
		return errno;
	answer->nr_offset = r.nr_offset;
	answer->nr_memsize = r.nr_memsize;
	answer->nr_extra_bufs = r.nr_arg3;
	return 0;
}

static inline int bind_control(int fd, const struct options *o, struct nmreq_register *r)
{
	struct nmreq_header h = {.nr_version = NETMAP_API, .nr_reqtype = NETMAP_REQ_REGISTER, .nr_body = (uintptr_t)r};
	*r = (struct nmreq_register){.nr_mode = o->mode ? o->mode : NR_REG_ALL_NIC, .nr_flags = o->flags, .nr_ringid = o->ringid,
		.nr_tx_rings = o->rings, .nr_rx_rings = o->rings, .nr_tx_slots = o->slots, .nr_rx_slots = o->slots,
		.nr_extra_bufs = o->extra};
	strncpy(h.nr_name, o->port, sizeof(h.nr_name) - 1);
	return ioctl(fd, NIOCCTRL, &h) ? errno : 0;
}

/* Binds an open descriptor and finds its rings. Returns an errno. */
static inline int port_bind(struct port *p, int fd, const struct options *o)
{
	struct nmreq_register r = {0};
	int e = o->api ? bind_legacy(fd, o, &r) : bind_control(fd, o, &r);
	if (e)
		return e;
	*p = (struct port){.fd = fd, .size = r.nr_memsize, .extra = r.nr_extra_bufs};
	p->mem = mmap(NULL, p->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p->mem == MAP_FAILED)
		err(1, "mmap %s", o->port);
	p->nifp = (struct netmap_if *)(p->mem + r.nr_offset);
	for (uint32_t i = 0; i < p->nifp->ni_tx_rings + p->nifp->ni_host_tx_rings && p->ntx < MAX_RINGS; i++)
		if (netmap_txring(p->nifp, i))
			p->tx[p->ntx++] = netmap_txring(p->nifp, i);
	for (uint32_t i = 0; i < p->nifp->ni_rx_rings + p->nifp->ni_host_rx_rings && p->nrx < MAX_RINGS; i++)
		if (netmap_rxring(p->nifp, i))
			p->rx[p->nrx++] = netmap_rxring(p->nifp, i);
	return 0;
}

static inline int open_device(const struct options *o)
{
	int fd = open(o->device, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err(1, "open %s", o->device);
	return fd;
}

/* Opens a port, or ends the program. Exit status 2 means that the request failed with the errno that
 * is printed as errno=N. */
static inline void port_open(struct port *p, const struct options *o)
{
	int e = port_bind(p, open_device(o), o);
	if (e) {
		printf("errno=%d\n", e);
		warnx("bind %s: %s", o->port, strerror(e));
		exit(2);
	}
}

static inline void port_close(struct port *p)
{
	munmap(p->mem, p->size);
	close(p->fd);
}

/* The test waits for this line. */
static inline void say_ready(void)
{
	printf("ready\n");
	fflush(stdout);
}

/* Ways to wait. */
enum how { POLL, SELECT, EPOLL, EPOLL_ET, SYNC };

static inline enum how parse_how(const char *s)
{
	static const char *const names[] = {"poll", "select", "epoll", "epollet", "sync"};
	for (int i = 0; i < 5; i++)
		if (!strcmp(s, names[i]))
			return (enum how)i;
	errx(1, "unknown way to wait: %s", s);
}

struct waiter {
	enum how how;
	int fd, epoll;
	short events;
};

static inline struct waiter waiter_new(enum how how, int fd, short events)
{
	struct waiter w = {.how = how, .fd = fd, .epoll = -1, .events = events};
	if (how == EPOLL || how == EPOLL_ET) {
		struct epoll_event e = {.events = (uint32_t)events | (how == EPOLL_ET ? EPOLLET : 0)};
		w.epoll = epoll_create1(EPOLL_CLOEXEC);
		if (w.epoll < 0 || epoll_ctl(w.epoll, EPOLL_CTL_ADD, fd, &e))
			err(1, "epoll");
	}
	return w;
}

static inline short wait_select(const struct waiter *w, int ms)
{
	fd_set in, out;
	struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	FD_ZERO(&in);
	FD_ZERO(&out);
	if (w->events & POLLIN)
		FD_SET(w->fd, &in);
	if (w->events & POLLOUT)
		FD_SET(w->fd, &out);
	if (select(w->fd + 1, &in, &out, NULL, ms < 0 ? NULL : &t) <= 0)
		return 0;
	return (short)((FD_ISSET(w->fd, &in) ? POLLIN : 0) | (FD_ISSET(w->fd, &out) ? POLLOUT : 0));
}

/* Mode sync does not wait for events: it syncs, and sleeps a little to leave the processor free. */
static inline short wait_sync(const struct waiter *w)
{
	if (w->events & POLLIN && ioctl(w->fd, NIOCRXSYNC))
		return POLLERR;
	if (w->events & POLLOUT && ioctl(w->fd, NIOCTXSYNC))
		return POLLERR;
	usleep(100);
	return w->events;
}

/* Waits, and returns the events; 0 after a timeout. */
static inline short waiter_wait(const struct waiter *w, int ms)
{
	struct pollfd p = {.fd = w->fd, .events = w->events};
	struct epoll_event e = {0};
	switch (w->how) {
	case POLL:
		return poll(&p, 1, ms) > 0 ? p.revents : 0;
	case SELECT:
		return wait_select(w, ms);
	case EPOLL:
	case EPOLL_ET:
		return epoll_wait(w->epoll, &e, 1, ms) > 0 ? (short)e.events : 0;
	case SYNC:
		return wait_sync(w);
	}
	return 0;
}

/* Options of all clients. Returns 0 for an option of one client. */
#define COMMON_OPTIONS "d:i:L:x:r:q:k:"
static inline int common_option(struct options *o, int c, const char *arg)
{
	switch (c) {
	case 'd': o->device = arg; return 1;
	case 'i': o->port = arg; return 1;
	case 'L': o->api = atoi(arg); return 1;
	case 'x': o->flags = (uint32_t)strtoul(arg, NULL, 0); return 1;
	case 'r': o->mode = NR_REG_ONE_NIC; o->ringid = (uint16_t)atoi(arg); return 1;
	case 'q': o->rings = (uint16_t)atoi(arg); return 1;
	case 'k': o->slots = (uint32_t)atoi(arg); return 1;
	}
	return 0;
}

#endif
