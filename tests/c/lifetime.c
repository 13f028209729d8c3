/* Tests how long a binding exists: lifetime -d DEVICE fork|pass|several|exclusive|reopen
 * A test that fails prints the reason; one that passes prints nothing. */
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "client.h"

static struct options o = {.port = "vale0:life", .slots = 64};

static int try_exclusive(void)
{
	struct options alone = o;
	struct port p;
	alone.flags = NR_EXCLUSIVE;
	int fd = open_device(&alone), e = port_bind(&p, fd, &alone);
	if (e)
		close(fd);
	else
		port_close(&p);
	return e;
}

static void want(const char *what, int got, int expected)
{
	if (got != expected)
		errx(1, "%s: %s, want %s", what, strerror(got), strerror(expected));
}

/* The child holds one end of a pipe: end of file on the other end shows that the child has ended. */
static void child_ends(int release, pid_t child)
{
	int status;
	close(release);
	if (waitpid(child, &status, 0) != child || status != 0)
		errx(1, "child ended with status %#x", status);
}

/* A child inherits the descriptor. The port stays bound until the child has ended, too. */
static void test_fork(void)
{
	struct port p;
	int release[2];
	char c;
	port_open(&p, &o);
	if (pipe(release))
		err(1, "pipe");
	pid_t child = fork();
	if (child == 0) {
		close(release[1]);
		if (read(release[0], &c, 1) != 0)
			errx(1, "read");
		if (ioctl(p.fd, NIOCTXSYNC))
			err(1, "NIOCTXSYNC in the child");
		_exit(0);
	}
	close(release[0]);
	port_close(&p);
	want("exclusive while the child has it", try_exclusive(), EBUSY);
	child_ends(release[1], child);
	want("exclusive after the child", try_exclusive(), 0);
}

static void send_fd(int sock, int fd)
{
	char c = 0, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&c, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	if (sendmsg(sock, &m, 0) != 1)
		err(1, "sendmsg");
}

static int receive_fd(int sock)
{
	int fd;
	char c, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&c, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	if (recvmsg(sock, &m, 0) != 1 || !CMSG_FIRSTHDR(&m))
		err(1, "recvmsg");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

/* A bound descriptor is passed to another process, which uses it. It counts as open on the way. */
static void test_pass(void)
{
	struct port p;
	int sock[2], release[2];
	char c;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sock) || pipe(release))
		err(1, "socketpair");
	pid_t child = fork();
	if (child == 0) {
		close(release[1]);
		if (read(release[0], &c, 1) != 1)
			errx(1, "read");
		int fd = receive_fd(sock[1]);
		struct pollfd w = {.fd = fd, .events = POLLOUT};
		if (ioctl(fd, NIOCTXSYNC) || poll(&w, 1, 1000) != 1 || w.revents != POLLOUT)
			errx(1, "the descriptor does not work in the child: revents %#x", w.revents);
		send_fd(sock[1], fd);
		close(fd);
		_exit(0);
	}
	port_open(&p, &o);
	send_fd(sock[0], p.fd);
	port_close(&p);
	want("exclusive while the descriptor is in the socket", try_exclusive(), EBUSY);
	if (write(release[1], "x", 1) != 1)
		err(1, "write");
	child_ends(release[1], child);
	want("exclusive while it is on its way back", try_exclusive(), EBUSY);
	close(receive_fd(sock[0]));
	want("exclusive after it was closed", try_exclusive(), 0);
}

/* Several descriptors share the rings of a port; each has a netmap_if of its own. */
static void test_several(void)
{
	struct port p[4];
	for (int i = 0; i < 4; i++) {
		port_open(&p[i], &o);
		if (i > 0 && p[i].nifp - (struct netmap_if *)p[i].mem == p[0].nifp - (struct netmap_if *)p[0].mem)
			errx(1, "two descriptors have the same netmap_if");
		if ((char *)p[i].tx[0] - p[i].mem != (char *)p[0].tx[0] - p[0].mem)
			errx(1, "two descriptors have different rings");
	}
	for (int i = 0; i < 4; i++) {
		want("exclusive next to others", try_exclusive(), EBUSY);
		if (ioctl(p[i].fd, NIOCTXSYNC))
			err(1, "NIOCTXSYNC on descriptor %d", i);
		port_close(&p[i]);
	}
	want("exclusive after the others", try_exclusive(), 0);
}

static void test_exclusive(void)
{
	struct options alone = o;
	struct port p, q;
	alone.flags = NR_EXCLUSIVE;
	port_open(&p, &alone);
	want("another one", port_bind(&q, open_device(&o), &o), EBUSY);
	want("the same descriptor", port_bind(&q, p.fd, &o), EBUSY);
	port_close(&p);
	want("afterwards", port_bind(&q, open_device(&o), &o), 0);
	port_close(&q);
}

/* After close has returned, the port is free. */
static void test_reopen(void)
{
	for (int i = 0; i < 500; i++)
		want("exclusive again", try_exclusive(), 0);
	for (int i = 0; i < 50; i++) { /* also after the process has ended */
		pid_t child = fork();
		int status;
		if (child == 0) {
			struct options alone = o;
			struct port p;
			alone.flags = NR_EXCLUSIVE;
			port_open(&p, &alone);
			kill(getpid(), SIGKILL);
		}
		if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
			errx(1, "child ended with status %#x", status);
		want("exclusive after a kill", try_exclusive(), 0);
	}
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} tests[] = {{"fork", test_fork}, {"pass", test_pass}, {"several", test_several}, {"exclusive", test_exclusive},
		{"reopen", test_reopen}};
	for (int c; (c = getopt(argc, argv, COMMON_OPTIONS)) != -1;)
		if (!common_option(&o, c, optarg))
			return 1;
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		if (optind < argc && !strcmp(argv[optind], tests[i].name)) {
			tests[i].run();
			return 0;
		}
	errx(1, "no such test");
}
