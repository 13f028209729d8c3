/* Tests the answers to wrong requests: errors -d DEVICE. Prints every unexpected answer. */
#include "client.h"

static struct options o = {.port = "vale0:errors"};
static int wrong;

static void want(const char *what, int ret, int expected)
{
	int e = ret < 0 ? errno : 0;
	if (e == expected)
		return;
	printf("%s: %s, want %s\n", what, strerror(e), strerror(expected));
	wrong = 1;
}

static void want_events(const char *what, int fd, short events, short expected)
{
	struct pollfd w = {.fd = fd, .events = events};
	int n = poll(&w, 1, 0);
	if (w.revents == expected && n == (expected != 0))
		return;
	printf("%s: poll returns %#x, want %#x\
", what, w.revents, expected);
	wrong = 1;
}

static void unbound(void)
{
	int fd = open_device(&o);
	char c;
	want("NIOCTXSYNC", ioctl(fd, NIOCTXSYNC), ENXIO);
	want("NIOCRXSYNC", ioctl(fd, NIOCRXSYNC), ENXIO);
	want("an unknown ioctl", ioctl(fd, _IO('i', 99)), EOPNOTSUPP);
	want("an unknown ioctl with data", ioctl(fd, _IOWR('i', 99, char[16]), (char[16]){0}), EOPNOTSUPP);
	want("NIOCUNREGIF as the first request", ioctl(fd, NIOCUNREGIF), ENXIO);
	want("read", (int)read(fd, &c, 1), EINVAL);
	want("write", (int)write(fd, &c, 1), EINVAL);
	want_events("unbound", fd, POLLIN | POLLOUT, POLLERR);
	want_events("unbound, no events", fd, 0, POLLERR);
	close(fd);
}

/* Requests that differ from a valid one in one thing. */
struct bad {
	const char *what;
	int expected;
	struct nmreq_header h;
	struct nmreq_register r;
	int no_body;
};

static void try_control(const struct bad *b)
{
	struct nmreq_register r = b->r;
	struct nmreq_header h = b->h;
	int fd = open_device(&o);
	if (!b->no_body)
		h.nr_body = (uintptr_t)&r;
	want(b->what, ioctl(fd, NIOCCTRL, &h), b->expected);
	if (memcmp(&r, &b->r, sizeof(r))) {
		printf("%s: the body has changed\n", b->what);
		wrong = 1;
	}
	close(fd);
}

#define HEADER(version, type, name, ...) {.nr_version = (version), .nr_reqtype = (type), .nr_name = name, ##__VA_ARGS__}
#define REGISTER(name, ...) HEADER(14, NETMAP_REQ_REGISTER, name, ##__VA_ARGS__)

static void bad_registrations(void)
{
	static struct nmreq_option stranger = {.nro_reqtype = 77};
	static struct nmreq_option zero = {.nro_reqtype = 0};
	static struct nmreq_option cycle = {.nro_reqtype = 77};
	cycle.nro_next = (uintptr_t)&cycle;
	const struct bad table[] = {
		{"version 11", EINVAL, HEADER(11, NETMAP_REQ_REGISTER, "vale0:e"), {.nr_mode = 1}, 0},
		{"version 16", EINVAL, HEADER(16, NETMAP_REQ_REGISTER, "vale0:e"), {.nr_mode = 1}, 0},
		{"reserved", EINVAL, REGISTER("vale0:e", .nr_reserved = 1), {.nr_mode = 1}, 0},
		{"no body", EINVAL, REGISTER("vale0:e"), {0}, 1},
		{"an unmapped body", EFAULT, REGISTER("vale0:e", .nr_body = 8), {0}, 1},
		{"an unmapped option", EFAULT, REGISTER("vale0:e", .nr_options = 8), {.nr_mode = 1}, 0},
		{"an unknown option", EOPNOTSUPP, REGISTER("vale0:e", .nr_options = (uintptr_t)&stranger), {.nr_mode = 1}, 0},
		{"an option of type 0", EINVAL, REGISTER("vale0:e", .nr_options = (uintptr_t)&zero), {.nr_mode = 1}, 0},
		{"endless options", EMSGSIZE, REGISTER("vale0:e", .nr_options = (uintptr_t)&cycle), {.nr_mode = 1}, 0},
		{"an unknown type", EINVAL, HEADER(14, 99, "vale0:e"), {0}, 1},
		{"type 0", EINVAL, HEADER(14, 0, "vale0:e"), {0}, 1},
		{"mode 0", EINVAL, REGISTER("vale0:e"), {.nr_mode = 0}, 0},
		{"mode 5", EINVAL, REGISTER("vale0:e"), {.nr_mode = NR_REG_PIPE_MASTER}, 0},
		{"mode 9", EINVAL, REGISTER("vale0:e"), {.nr_mode = 9}, 0},
		{"ring 1 of 1", EINVAL, REGISTER("vale0:e"), {.nr_mode = NR_REG_ONE_NIC, .nr_ringid = 1}, 0},
		{"host rings of a switch", EINVAL, REGISTER("vale0:e"), {.nr_mode = NR_REG_SW}, 0},
		{"another region", EINVAL, REGISTER("vale0:e"), {.nr_mode = 1, .nr_mem_id = 4711}, 0},
		{"no name", ENXIO, REGISTER(""), {.nr_mode = 1}, 0},
		{"no such interface", ENXIO, REGISTER("nosuchif0"), {.nr_mode = 1}, 0},
		{"a switch without port", ENOMEM, REGISTER("vale0"), {.nr_mode = 1}, 0},
		{"nothing before the brace", EINVAL, REGISTER("{1"), {.nr_mode = 1}, 0},
		{"nothing after the brace", EINVAL, REGISTER("x}"), {.nr_mode = 1}, 0},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		try_control(&table[i]);
	if (zero.nro_status != EINVAL || stranger.nro_status != EOPNOTSUPP) {
		printf("the options' status is %u and %u\n", zero.nro_status, stranger.nro_status);
		wrong = 1;
	}
}

static void bad_legacy(void)
{
	static const struct {
		const char *what;
		int expected;
		struct nmreq r;
	} table[] = {
		{"legacy version 9", EINVAL, {.nr_name = "vale0:e", .nr_version = 9}},
		{"legacy without a name", ENXIO, {.nr_version = 14}},
		{"legacy, no such interface", ENXIO, {.nr_name = "nosuchif0", .nr_version = 11}},
		{"legacy ring 1 of 1", EINVAL, {.nr_name = "vale0:e", .nr_version = 11, .nr_ringid = NETMAP_HW_RING | 1}},
		{"legacy host rings", EINVAL, {.nr_name = "vale0:e", .nr_version = 11, .nr_ringid = NETMAP_SW_RING}},
		{"legacy mode 9", EINVAL, {.nr_name = "vale0:e", .nr_version = 14, .nr_flags = 9}},
		{"legacy command 3", EINVAL, {.nr_name = "vale0:e", .nr_version = 14, .nr_cmd = 3}},
		{"legacy command 8", ENOMEM, {.nr_name = "vale0:e", .nr_version = 14, .nr_cmd = 8}},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct nmreq r = table[i].r;
		int fd = open_device(&o);
		want(table[i].what, ioctl(fd, NIOCREGIF, &r), table[i].expected);
		if (memcmp(&r, &table[i].r, sizeof(r))) {
			printf("%s: the request has changed\n", table[i].what);
			wrong = 1;
		}
		close(fd);
	}
}

/* A bad head is reported by poll, not by the sync. */
static void bad_rings(void)
{
	struct port p;
	port_open(&p, &o);
	want_events("a new port", p.fd, POLLIN | POLLOUT, POLLOUT);
	p.tx[0]->head = p.tx[0]->cur = p.tx[0]->num_slots + 5;
	want("NIOCTXSYNC with a bad head", ioctl(p.fd, NIOCTXSYNC), 0);
	want_events("after it was put back", p.fd, POLLOUT, POLLOUT);
	p.tx[0]->head = p.tx[0]->cur = p.tx[0]->num_slots + 5;
	want_events("a bad head", p.fd, POLLOUT, POLLOUT | POLLERR);
	if (port_bind(&p, p.fd, &o) != EBUSY) {
		printf("a second registration is not refused\n");
		wrong = 1;
	}
	port_close(&p);
}

int main(int argc, char **argv)
{
	for (int c; (c = getopt(argc, argv, COMMON_OPTIONS)) != -1;)
		if (!common_option(&o, c, optarg))
			return 1;
	unbound();
	bad_registrations();
	bad_legacy();
	bad_rings();
	return wrong;
}
