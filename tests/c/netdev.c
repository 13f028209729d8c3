/* The ioctls of network devices on a descriptor of the device: netdev -d DEVICE -i INTERFACE.
 * Prints every answer that differs from a socket's. */
#include "client.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <linux/userfaultfd.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static struct options o = {.port = "eth0"};
static int wrong;

static void want(const char *what, int ret, int expected)
{
	int e = ret < 0 ? errno : 0;
	if (e == expected)
		return;
	printf("%s: %s, want %s\n", what, strerror(e), strerror(expected));
	wrong = 1;
}

static struct ifreq named(const char *name)
{
	struct ifreq r;
	memset(&r, 0, sizeof(r));
	strncpy(r.ifr_name, name, IFNAMSIZ - 1);
	return r;
}

static int do_ioctl(int fd, unsigned long request, struct ifreq *r) { return ioctl(fd, request, r) ? errno : 0; }

static void same(const char *what, int e, int expected, const void *got, const void *want, size_t size)
{
	if (e == expected && !memcmp(got, want, size))
		return;
	printf("%s: %s, want %s, or other data\n", what, strerror(e), strerror(expected));
	wrong = 1;
}

static void readers(int fd, int sock)
{
	static const unsigned requests[] = {SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFDSTADDR, SIOCGIFBRDADDR, SIOCGIFNETMASK, SIOCGIFMETRIC,
		SIOCGIFMEM, SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFTXQLEN, SIOCGIFMAP, SIOCGMIIPHY, SIOCGMIIREG};
	struct ifreq a, b;
	char what[32];
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		a = b = named(o.port);
		snprintf(what, sizeof(what), "ioctl %#x", requests[i]);
		int e = do_ioctl(sock, requests[i], &b);
		same(what, do_ioctl(fd, requests[i], &a), e, &a, &b, sizeof(a));
	}
	a = named("");
	a.ifr_ifindex = (int)if_nametoindex(o.port);
	want("SIOCGIFNAME", ioctl(fd, SIOCGIFNAME, &a), 0);
	same("SIOCGIFNAME", 0, 0, a.ifr_name, o.port, strlen(o.port) + 1);
	a.ifr_ifindex = (int)if_nametoindex("lo");
	want("SIOCGIFNAME of lo", ioctl(fd, SIOCGIFNAME, &a), EINVAL);
}

/* Room for everything that a command may write. */
static void ethtool(int fd, int sock, const char *what, const void *head, size_t size)
{
	static char a[64 << 10], b[64 << 10];
	struct ifreq r = named(o.port), s = r;
	memset(a, 0xa5, sizeof(a));
	memcpy(a, head, size);
	memcpy(b, a, sizeof(b));
	r.ifr_data = a;
	s.ifr_data = b;
	int e = do_ioctl(sock, SIOCETHTOOL, &s);
	same(what, do_ioctl(fd, SIOCETHTOOL, &r), e, a, b, sizeof(a));
}

static void ethtools(int fd, int sock)
{
	static const uint32_t plain[] = {ETHTOOL_GSET, ETHTOOL_GDRVINFO, ETHTOOL_GREGS, ETHTOOL_GWOL, ETHTOOL_GMSGLVL, ETHTOOL_GLINK,
		ETHTOOL_GCOALESCE, ETHTOOL_GRINGPARAM, ETHTOOL_GPAUSEPARAM, ETHTOOL_GRXCSUM, ETHTOOL_GTXCSUM, ETHTOOL_GSG, ETHTOOL_GTSO,
		ETHTOOL_GUFO, ETHTOOL_GGSO, ETHTOOL_GGRO, ETHTOOL_GFLAGS, ETHTOOL_GPFLAGS, ETHTOOL_GRXRINGS, ETHTOOL_GRXCLSRLCNT,
		ETHTOOL_GRXCLSRLALL, ETHTOOL_GCHANNELS, ETHTOOL_GET_TS_INFO, ETHTOOL_GEEE, ETHTOOL_GFECPARAM, ETHTOOL_GMODULEINFO,
		ETHTOOL_GRXFHINDIR, ETHTOOL_GRSSH, ETHTOOL_GSTATS, ETHTOOL_GPHYSTATS};
	char head[192], what[32];
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		memset(head, 0, sizeof(head));
		memcpy(head, &plain[i], sizeof(plain[i]));
		snprintf(what, sizeof(what), "ethtool %#x", plain[i]);
		ethtool(fd, sock, what, head, sizeof(head));
	}
	for (uint32_t set = 0; set < 6; set++) {
		struct ethtool_gstrings strings = {.cmd = ETHTOOL_GSTRINGS, .string_set = set};
		struct ethtool_sset_info info = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ULL << set | 3};
		ethtool(fd, sock, "ethtool strings", &strings, sizeof(strings));
		ethtool(fd, sock, "ethtool string sets", &info, sizeof(info));
	}
	for (uint32_t size = 0; size < 40; size += 6) {
		struct ethtool_perm_addr address = {.cmd = ETHTOOL_GPERMADDR, .size = size};
		struct ethtool_gfeatures features = {.cmd = ETHTOOL_GFEATURES, .size = size / 6};
		ethtool(fd, sock, "ethtool permanent address", &address, sizeof(address));
		ethtool(fd, sock, "ethtool features", &features, sizeof(features));
	}
	for (int words = -3; words < 6; words++) {
		struct ethtool_link_settings link = {.cmd = ETHTOOL_GLINKSETTINGS, .link_mode_masks_nwords = (int8_t)words};
		ethtool(fd, sock, "ethtool link settings", &link, sizeof(link));
	}
	struct ifreq r = named(o.port);
	r.ifr_data = (char *)8;
	want("ethtool, unmapped data", ioctl(fd, SIOCETHTOOL, &r), EFAULT);
	uint32_t unknown = 0x7777;
	r.ifr_data = (char *)&unknown;
	want("ethtool, unknown command", ioctl(fd, SIOCETHTOOL, &r), EOPNOTSUPP);
}

static int mtu(int sock)
{
	struct ifreq r = named(o.port);
	return ioctl(sock, SIOCGIFMTU, &r) ? -1 : r.ifr_mtu;
}

static void setters(int fd, int sock, int expected)
{
	int before = mtu(sock);
	struct ifreq r = named(o.port);
	struct ethtool_value gro = {.cmd = ETHTOOL_SGRO, .data = 1};
	r.ifr_mtu = before - 100;
	want("SIOCSIFMTU", ioctl(fd, SIOCSIFMTU, &r), expected);
	if (mtu(sock) != (expected ? before : before - 100)) {
		printf("the MTU is %d, was %d\n", mtu(sock), before);
		wrong = 1;
	}
	r.ifr_mtu = before;
	want("SIOCSIFMTU again", ioctl(fd, SIOCSIFMTU, &r), expected);
	r.ifr_data = (char *)&gro;
	want("ethtool --offload", ioctl(fd, SIOCETHTOOL, &r), expected);
}

/* Two users may not change settings: one without the capability, and one that has it in a user
 * namespace of its own. */
static void strangers(int fd, int sock)
{
	for (int own = 0; own < 2; own++) {
		pid_t pid = fork();
		if (pid == 0) {
			if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534) || (own && unshare(CLONE_NEWUSER)))
				err(1, "become another user");
			struct ifreq r = named(o.port);
			want("SIOCGIFFLAGS of another user", ioctl(fd, SIOCGIFFLAGS, &r), 0);
			setters(fd, sock, EPERM);
			fflush(stdout);
			_exit(wrong);
		}
		int status;
		waitpid(pid, &status, 0);
		if (status)
			wrong = 1;
	}
}

static void others(int fd)
{
	static const char *const without[] = {"vale0:netdev", "x{netdev"};
	struct ifreq r = named("lo");
	want("lo", ioctl(fd, SIOCGIFFLAGS, &r), EINVAL);
	r = named("nosuchif0");
	want("no interface", ioctl(fd, SIOCGIFFLAGS, &r), EINVAL);
	want("nowhere", ioctl(fd, SIOCGIFFLAGS, 8), EFAULT);
	want("SIOCGIFCONF", ioctl(fd, SIOCGIFCONF, &r), EOPNOTSUPP);
	int unbound = open_device(&o);
	r = named(o.port);
	want("unbound", ioctl(unbound, SIOCGIFFLAGS, &r), ENXIO);
	close(unbound);
	for (int i = 0; i < 2; i++) {
		struct options w = {.device = o.device, .port = without[i]};
		struct port p;
		port_open(&p, &w);
		want(without[i], ioctl(p.fd, SIOCGIFFLAGS, &r), ENXIO);
		port_close(&p);
	}
	struct options w = {.device = o.device, .port = o.port, .flags = NR_MONITOR_RX};
	struct port p;
	port_open(&p, &w);
	want("a monitor", ioctl(p.fd, SIOCGIFFLAGS, &r), 0);
	port_close(&p);
}

static void on_alarm(int sig) { (void)sig; }

/* An argument in memory that never answers delays no other program, and a signal ends the request. */
static void sleeping(int fd)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct ifreq r = named(o.port);
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api)) {
		printf("userfaultfd: %s\n", strerror(errno));
		wrong = 1;
		return;
	}
	char *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register reg = {.range = {(uintptr_t)m, 4096}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	if (m == MAP_FAILED || ioctl(uffd, UFFDIO_REGISTER, &reg))
		err(1, "register memory");
	struct sigaction a = {.sa_handler = on_alarm};
	sigaction(SIGALRM, &a, NULL);
	for (int i = 0; i < 12; i++) { /* more than the threads of a user */
		struct itimerval soon = {.it_value = {.tv_usec = 30000}};
		setitimer(ITIMER_REAL, &soon, NULL);
		want("memory that never answers", ioctl(fd, SIOCGIFFLAGS, m), EINTR);
	}
	want("NIOCRXSYNC meanwhile", ioctl(fd, NIOCRXSYNC), 0);
	close(uffd);
	munmap(m, 4096);
	want("afterwards", ioctl(fd, SIOCGIFFLAGS, &r), 0);
}

int main(int argc, char **argv)
{
	struct port p;
	for (int c; (c = getopt(argc, argv, COMMON_OPTIONS)) != -1;)
		if (!common_option(&o, c, optarg))
			return 1;
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	port_open(&p, &o);
	readers(p.fd, sock);
	ethtools(p.fd, sock);
	setters(p.fd, sock, 0);
	strangers(p.fd, sock);
	others(p.fd);
	sleeping(p.fd);
	port_close(&p);
	return wrong;
}
