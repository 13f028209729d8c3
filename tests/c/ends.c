/* Two programs that find each other through a pipe: ends -d DEVICE -i PARENT [-u USER to become]
 * Each takes the end that is free. The parent of a pipe is an interface from the first open on, so
 * a program that finds the interface is the second, and takes the slave end. Each sends its process
 * id and waits for the other's.
 * Prints end=master or end=slave, and peer=, the process at the other end. */
#include <ifaddrs.h>

#include "client.h"

static int exists(const char *name)
{
	struct ifaddrs *all;
	int found = 0;
	if (getifaddrs(&all))
		err(1, "getifaddrs");
	for (struct ifaddrs *i = all; i && !found; i = i->ifa_next)
		found = !strcmp(i->ifa_name, name);
	freeifaddrs(all);
	return found;
}

static void tell(const struct port *p)
{
	struct netmap_ring *ring = p->tx[0];
	pid_t me = getpid();
	if (netmap_space(ring) == 0)
		errx(1, "no room");
	memcpy(netmap_buf(ring, ring->slot[ring->head].buf_idx), &me, sizeof(me));
	ring->slot[ring->head].len = sizeof(me);
	netmap_advance(ring, netmap_next(ring, ring->head));
	if (ioctl(p->fd, NIOCTXSYNC))
		err(1, "NIOCTXSYNC");
}

static int hear(const struct port *p)
{
	struct netmap_ring *ring = p->rx[0];
	pid_t peer;
	for (int i = 0; netmap_space(ring) == 0; i++) {
		struct pollfd f = {.fd = p->fd, .events = POLLIN};
		if (i == 100)
			errx(1, "no program is at the other end");
		poll(&f, 1, 100);
	}
	memcpy(&peer, netmap_buf(ring, ring->slot[ring->head].buf_idx), sizeof(peer));
	netmap_advance(ring, netmap_next(ring, ring->head));
	return (int)peer;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	struct port p;
	char name[32];
	uid_t user = 0;

	for (int c; (c = getopt(argc, argv, COMMON_OPTIONS "u:")) != -1;) {
		if (common_option(&o, c, optarg))
			continue;
		if (c == 'u')
			user = (uid_t)atoi(optarg);
		else
			return 1;
	}
	int fd = open_device(&o), second = exists(o.port);
	if (user && setuid(user))
		err(1, "setuid");
	if (o.api) {
		o.mode = second ? NR_REG_PIPE_SLAVE : NR_REG_PIPE_MASTER;
	} else {
		snprintf(name, sizeof(name), "%s%c0", o.port, second ? '}' : '{');
		o.port = name;
	}
	int e = port_bind(&p, fd, &o);
	if (e)
		errx(1, "bind %s: %s", o.port, strerror(e));
	tell(&p);
	say_ready();
	printf("end=%s peer=%d\n", second ? "slave" : "master", hear(&p));
	fflush(stdout);
	port_close(&p);
	return 0;
}
