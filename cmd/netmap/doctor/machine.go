package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/chardev"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/takeover"
)

// machine is the input of the checks of the machine.
type machine struct {
	path, stateDir string
	bufSize        uint32
}

var machineChecks = []check[*machine]{
	{"kernel", func(*machine) []finding { return []finding{checkKernel(kernelRelease())} }},
	{"rights", func(*machine) []finding { return []finding{checkRights(effectiveRights())} }},
	{"passthrough", func(*machine) []finding { return []finding{checkPassthrough(tryPassthrough())} }},
	{"device", func(m *machine) []finding { return []finding{checkNode(m.path, lookAtNode(m.path))} }},
	{"AF_XDP", func(*machine) []finding { return []finding{checkXDPSocket(trySocket())} }},
	{"BPF", func(*machine) []finding {
		return []finding{checkBPF(features.HaveProgramType(ebpf.XDP),
			readSysctl("net/core/bpf_jit_enable"))}
	}},
	{"memlock", func(m *machine) []finding {
		need := uint64(mem.Config{}.Buffers()) * uint64(m.bufSize)
		return []finding{checkMemlock(lockLimit(), effectiveRights(), need)}
	}},
	{"huge pages", func(*machine) []finding {
		return []finding{checkHuge(shm.KernelHugePage(), tryHuge())}
	}},
	{"TAP", func(*machine) []finding { return []finding{checkTAP("/dev/net/tun")} }},
	{"left behind", func(m *machine) []finding { return checkPending(takeover.Pending(m.stateDir)) }},
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// checkKernel checks a release such as 6.12.41+deb13-amd64.
func checkKernel(release string) finding {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n < 2 {
		return warning("uname -r", "Linux %q is no version", release)
	}
	switch v := major*1000 + minor; {
	case v < 5010:
		return failure("", "Linux %s: interfaces need 5.10 or later, netmap serve 6.9", release)
	case v < 6006:
		return failure("", "Linux %s: netmap serve needs 6.9 or later; "+
			"Go programs with package embed work, but host rings need 6.6", release)
	case v < 6009:
		return failure("", "Linux %s: netmap serve needs 6.9 or later; "+
			"Go programs with package embed work", release)
	}
	return ok("Linux %s", release)
}

// rights are the capabilities that netmap needs, with their numbers.
var rights = []struct {
	bit  int
	name string
	why  string
}{
	{capSysAdmin, "CAP_SYS_ADMIN", "the device node, other network namespaces"},
	{12, "CAP_NET_ADMIN", "interfaces"},
	{13, "CAP_NET_RAW", "interfaces"},
	{19, "CAP_SYS_PTRACE", "requests of programs that use the device"},
	{capBPF, "CAP_BPF", "interfaces"},
}

const (
	capIPCLock     = 14
	capSysAdmin    = 21
	capSysResource = 24
	capBPF         = 39
)

// effectiveRights are the capabilities of this process, one bit each.
func effectiveRights() uint64 {
	b, _ := os.ReadFile("/proc/thread-self/status")
	return parseRights(string(b))
}

func parseRights(status string) (bits uint64) {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, "CapEff:"); ok {
			bits, _ = strconv.ParseUint(strings.TrimSpace(v), 16, 64)
		}
	}
	return bits
}

func has(bits uint64, capability int) bool { return bits&(1<<capability) != 0 }

func checkRights(bits uint64) finding {
	var missing []string
	for _, r := range rights {
		if !has(bits, r.bit) && !(r.bit == capBPF && has(bits, capSysAdmin)) { // it includes CAP_BPF
			missing = append(missing, fmt.Sprintf("%s (%s)", r.name, r.why))
		}
	}
	if len(missing) > 0 {
		return failure("sudo netmap doctor",
			"missing: %s; without them there are VALE switches and pipes inside one process",
			strings.Join(missing, ", "))
	}
	return ok("all capabilities that it takes")
}

// nothing is a device that nobody opens.
type nothing struct{}

func (nothing) Open(chardev.Caller, *chardev.Waker) (chardev.File, syscall.Errno) {
	return nil, syscall.ENODEV
}

// tryPassthrough makes a device node for a moment.
func tryPassthrough() (err error) {
	dir, err := os.MkdirTemp("", "netmap-doctor-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	m, err := shm.NewSparse("netmap-doctor", os.Getpagesize(), false)
	if err != nil {
		return err
	}
	defer m.Close()
	d, err := chardev.Mount(chardev.Config{Path: filepath.Join(dir, "node"), Mode: 0o600,
		Backing: m.FD(), Size: uint64(os.Getpagesize()), Workers: 1}, nothing{})
	if err != nil {
		return err
	}
	return d.Close()
}

func checkPassthrough(err error) finding {
	switch {
	case err == nil:
		return ok("FUSE hands memory through: tried")
	case errors.Is(err, fs.ErrPermission):
		return failure("sudo netmap doctor",
			"not tried: it takes CAP_SYS_ADMIN in the initial user namespace, and /dev/fuse (%v)", err)
	case errors.Is(err, fs.ErrNotExist):
		return failure("modprobe fuse", "there is no /dev/fuse; a container has to be given it (%v)", err)
	}
	return failure("", "FUSE has no passthrough of memory; "+
		"it needs Linux 6.9 with CONFIG_FUSE_PASSTHROUGH (%v)", err)
}

func trySocket() error {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func checkXDPSocket(err error) finding {
	switch {
	case err == nil:
		return ok("sockets can be made")
	case errors.Is(err, unix.EAFNOSUPPORT):
		return failure("", "this kernel has none: it needs CONFIG_XDP_SOCKETS")
	}
	return failure("sudo netmap doctor", "sockets cannot be made: %v", err)
}

func readSysctl(name string) string {
	b, _ := os.ReadFile("/proc/sys/" + name)
	return strings.TrimSpace(string(b))
}

func checkBPF(xdp error, jit string) finding {
	switch {
	case errors.Is(xdp, ebpf.ErrNotSupported):
		return failure("", "this kernel takes no XDP programs: it needs CONFIG_BPF_SYSCALL")
	case xdp != nil:
		return failure("sudo netmap doctor", "XDP programs cannot be loaded: %v", xdp)
	case jit == "0":
		return warning("sysctl net.core.bpf_jit_enable=1",
			"programs are interpreted, which costs every frame")
	}
	return ok("XDP programs can be loaded")
}

func lockLimit() uint64 {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &l) != nil {
		return 0
	}
	return l.Cur
}

// checkMemlock compares the limit with the size of a daemon's buffers, in bytes. The limit does not
// apply to a process that may lock memory. A daemon that may raise the limit does so.
func checkMemlock(limit, bits, need uint64) finding {
	switch {
	case limit == unix.RLIM_INFINITY:
		return ok("no limit")
	case has(bits, capIPCLock):
		return ok("%d KiB, which does not apply with CAP_IPC_LOCK", limit>>10)
	case has(bits, capSysResource):
		return ok("%d KiB, which netmap serve raises", limit>>10)
	case limit < need:
		return failure("ulimit -l unlimited",
			"%d KiB can be locked, buffers of %d MiB have to be; in a service, set LimitMEMLOCK=infinity",
			limit>>10, need>>20)
	}
	return ok("%d KiB", limit>>10)
}

// tryHuge allocates a huge page of shared memory.
func tryHuge() bool {
	m, err := shm.NewSparse("netmap-doctor", shm.HugePage, true)
	if err != nil {
		return false
	}
	defer m.Close()
	return m.Take(0, shm.HugePage) == nil && m.Huge()
}

func checkHuge(size uint64, works bool) finding {
	switch {
	case works:
		return ok("the kernel gives them, as zero-copy needs")
	case size > 0 && size != shm.HugePage:
		return warning("boot a kernel with pages of 4 KiB",
			"the kernel's have %d MiB, so there is no zero-copy: it takes such of %d MiB",
			size>>20, shm.HugePage>>20)
	}
	return warning("echo 1 > /proc/sys/vm/compact_memory",
		"the kernel gives none, so there is no zero-copy: it takes Linux 6.1 with "+
			"CONFIG_TRANSPARENT_HUGEPAGE, and memory that is not in pieces")
}

func checkTAP(path string) finding {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		unix.Close(fd)
		return ok("interfaces can be made")
	case errors.Is(err, fs.ErrPermission):
		return warning("sudo netmap doctor",
			"no right to use %s: there are no host rings and no persistent ports", path)
	}
	return warning("modprobe tun",
		"%s cannot be used (%v): there are no host rings and no persistent ports", path, err)
}

func checkPending(left []takeover.Record, err error) (list []finding) {
	if err != nil {
		list = append(list, warning("", "not known: %v", err))
	}
	for _, r := range left {
		list = append(list, warning("netmap doctor --restore",
			"%s is not as it was before process %d was killed: %v", r.Name, r.PID, r.Changes))
	}
	if len(list) == 0 {
		list = append(list, ok("no interface that has to be given back"))
	}
	return list
}
