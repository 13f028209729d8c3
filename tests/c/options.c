/* A port in the program's own memory, with offsets, and an ordinary port on the same switch:
 * options -d DEVICE. Prints every wrong value. */
#include "client.h"

static struct options o = {.port = "vale0:own"};
static int wrong;

static void want(const char *what, long got, long expected)
{
	if (got == expected)
		return;
	printf("%s: %ld, want %ld\n", what, got, expected);
	wrong = 1;
}

static char *shared(size_t size, int flags)
{
	char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		err(1, "mmap");
	return m;
}

enum { MEMORY = 1 << 20, MAX_OFFSET = 200, OFFSET = 100, SLOTS = 16 };

/* Registers with both options, which receive their status. Returns an errno. */
static int open_own(int fd, char *memory, struct nmreq_register *r, struct nmreq_opt_extmem *x, struct nmreq_opt_offsets *f)
{
	struct nmreq_header h = {.nr_version = NETMAP_API, .nr_reqtype = NETMAP_REQ_REGISTER, .nr_body = (uintptr_t)r,
		.nr_options = (uintptr_t)x};
	strncpy(h.nr_name, o.port, sizeof(h.nr_name) - 1);
	*r = (struct nmreq_register){.nr_mode = NR_REG_ALL_NIC, .nr_tx_slots = SLOTS, .nr_rx_slots = SLOTS};
	*x = (struct nmreq_opt_extmem){.nro_opt = {.nro_next = (uintptr_t)f, .nro_reqtype = NETMAP_REQ_OPT_EXTMEM, .nro_status = 77},
		.nro_usrptr = (uintptr_t)memory, .nro_info = {.nr_memsize = MEMORY, .nr_if_pool_objtotal = 4, .nr_ring_pool_objtotal = 8,
		.nr_ring_pool_objsize = 1024, .nr_buf_pool_objtotal = 200}};
	*f = (struct nmreq_opt_offsets){.nro_opt = {.nro_reqtype = NETMAP_REQ_OPT_OFFSETS, .nro_status = 77},
		.nro_max_offset = MAX_OFFSET, .nro_initial_offset = OFFSET, .nro_offset_bits = 16};
	return ioctl(fd, NIOCCTRL, &h) ? errno : 0;
}

static void pass(struct netmap_ring *tx, size_t at, int txfd, struct netmap_ring *rx, int rxfd, const char *text)
{
	static const char head[14] = "\xff\xff\xff\xff\xff\xff\2\0\0\0\0\1\x88\xb5";
	struct netmap_slot *s = &tx->slot[tx->head];
	char *b = netmap_buf(tx, s->buf_idx) + at;
	memcpy(b, head, sizeof(head));
	strcpy(b + sizeof(head), text);
	s->len = sizeof(head) + strlen(text) + 1;
	tx->head = tx->cur = (tx->head + 1) % tx->num_slots;
	want("txsync", ioctl(txfd, NIOCTXSYNC), 0);
	want("rxsync", ioctl(rxfd, NIOCRXSYNC), 0);
	want(text, (rx->tail + rx->num_slots - rx->head) % rx->num_slots, 1);
	s = &rx->slot[rx->head];
	b = netmap_buf(rx, s->buf_idx) + (s->ptr & rx->offset_mask);
	if (memcmp(b, head, sizeof(head)) || strcmp(b + sizeof(head), text)) {
		printf("the received frame differs from the sent one: %s\
", text);
		wrong = 1;
	}
	rx->head = rx->cur = rx->tail;
}

static void both(void)
{
	struct nmreq_register r;
	struct nmreq_opt_extmem x;
	struct nmreq_opt_offsets f;
	struct options plain = {.device = o.device, .port = "vale0:plain", .slots = SLOTS};
	struct port p;
	char *m = shared(MEMORY, MAP_SHARED);
	int fd = open_device(&o);
	want("register", open_own(fd, m, &r, &x, &f), 0);
	want("status of EXTMEM", x.nro_opt.nro_status, 0);
	want("status of OFFSETS", f.nro_opt.nro_status, 0);
	want("largest offset", (long)f.nro_max_offset, MAX_OFFSET);
	want("memory is private", ((struct netmap_if *)(m + r.nr_offset))->ni_flags & 1, 1);
	struct netmap_ring *tx = netmap_txring((struct netmap_if *)(m + r.nr_offset), 0);
	struct netmap_ring *rx = netmap_rxring((struct netmap_if *)(m + r.nr_offset), 0);
	want("offset_mask", (long)rx->offset_mask, 0xffff);
	for (int i = 0; i < SLOTS; i++)
		want("initial offset", (long)(tx->slot[i].ptr & tx->offset_mask), OFFSET);
	port_open(&p, &plain);
	for (int i = 0; i < 3 * SLOTS; i++) {
		pass(tx, OFFSET, fd, p.rx[0], p.fd, "from own memory");
		pass(p.tx[0], 0, p.fd, rx, fd, "to own memory");
	}
	port_close(&p);
	close(fd);
	munmap(m, MEMORY);
}

static void refused(void)
{
	struct nmreq_register r;
	struct nmreq_opt_extmem x;
	struct nmreq_opt_offsets f;
	char *m = shared(MEMORY, MAP_PRIVATE);
	int fd = open_device(&o);
	want("private memory", open_own(fd, m, &r, &x, &f), EOPNOTSUPP);
	want("status of EXTMEM", x.nro_opt.nro_status, EOPNOTSUPP);
	want("no memory", open_own(fd, NULL, &r, &x, &f), EFAULT);
	want("status of EXTMEM", x.nro_opt.nro_status, EFAULT);
	close(fd);
	munmap(m, MEMORY);
}

int main(int argc, char **argv)
{
	for (int c; (c = getopt(argc, argv, COMMON_OPTIONS)) != -1;)
		if (!common_option(&o, c, optarg))
			return 1;
	both();
	refused();
	return wrong;
}
