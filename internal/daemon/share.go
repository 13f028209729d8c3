//go:build linux

package daemon

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// Eventfd takes an eventfd of the client's.
func (p *process) Eventfd(fd int) (int, error) {
	if p.pid == 0 {
		return -1, fault.New(syscall.EPERM, "take an eventfd of", "client",
			"its process is not visible from the daemon's pid namespace")
	}
	// A pidfd of the thread, because the first thread of a process may have ended before the
	// others.
	const pidfdThread = unix.O_EXCL // PIDFD_THREAD, Linux 6.9, as the device itself
	pidfd, err := unix.PidfdOpen(p.pid, pidfdThread)
	if err != nil {
		return -1, fault.Wrap(err, "take an eventfd of", fmt.Sprint("process ", p.pid), "")
	}
	defer unix.Close(pidfd)
	ours, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return -1, fault.Wrap(err, "take an eventfd of", fmt.Sprint("process ", p.pid), "")
	}
	if !wake.IsEventfd(ours) {
		unix.Close(ours)
		return -1, fault.New(syscall.EINVAL, "take an eventfd of", fmt.Sprint("process ", p.pid),
			"descriptor %d is not an eventfd", fd)
	}
	return ours, nil
}

// Share maps client memory in a memfd that the client has mapped shared and writable, and sealed
// against shrinking (F_SEAL_SHRINK).
//
// Other memory cannot be shared. Private memory, such as that of malloc, belongs to no file that
// another process could map. A file that its owner may shrink would end the daemon by SIGBUS, and
// so might a file of a file system that the owner serves or fills up. By opening a file that the
// client maps, the daemon might get more rights than the client has. Therefore the client's mapping
// has to be writable, and the opened file has to be the one that was looked at, whatever the client
// maps in the meantime.
func (p *process) Share(addr uint64, n int) (shared []byte, unmap func()) {
	area, err := p.areaAt(addr, uint64(n))
	if err != nil {
		return nil, nil
	}
	fd, err := area.open(p.pid)
	if err != nil {
		return nil, nil
	}
	defer unix.Close(fd)
	at := area.offset + addr - area.start
	lead := at % uint64(os.Getpagesize())
	if !sealed(fd) || !holds(fd, at+uint64(n)) {
		return nil, nil
	}
	m, err := unix.Mmap(fd, int64(at-lead), int(lead)+n,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil
	}
	return m[lead:], func() { unix.Munmap(m) }
}

// sealed reports whether the file cannot be shrunk.
func sealed(fd int) bool {
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	return err == nil && seals&unix.F_SEAL_SHRINK != 0
}

// holds reports whether the file has so many bytes.
func holds(fd int, size uint64) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && uint64(st.Size) >= size
}

// area is a mapping of a file, as in /proc/PID/maps.
type area struct {
	start, end, offset uint64
	major, minor       uint32
	inode              uint64
	name               string // of the file
}

// memfds is the device number of all memfds with ordinary pages.
var memfds = sync.OnceValue(func() (device uint64) {
	fd, err := unix.MemfdCreate("probe", unix.MFD_CLOEXEC)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	unix.Fstat(fd, &st)
	return st.Dev
})

// areaAt finds the mapping that contains n bytes. It returns EFAULT unless one mapping contains all
// and is writable, and EOPNOTSUPP unless that is a shared mapping of a file.
func (p *process) areaAt(addr, n uint64) (area, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", p.pid))
	if err != nil || p.pid == 0 {
		return area{}, fault.New(syscall.EPERM, "share memory of", "client",
			"its process is not visible from the daemon's pid namespace")
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var a area
		var mode string
		_, err := fmt.Sscanf(lines.Text(), "%x-%x %s %x %x:%x %d", &a.start, &a.end, &mode, &a.offset,
			&a.major, &a.minor, &a.inode)
		if err != nil || addr < a.start || addr >= a.end {
			continue
		}
		if at := strings.IndexByte(lines.Text(), '/'); at >= 0 {
			a.name = lines.Text()[at:]
		}
		switch {
		case n > a.end-addr || !strings.HasPrefix(mode, "rw"):
			return a, p.cannotShare(syscall.EFAULT, "it has to be in one mapping, which is writable")
		case a.inode == 0 || !strings.HasSuffix(mode, "s"):
			return a, p.cannotShare(syscall.EOPNOTSUPP, "it is private; "+shareable)
		}
		return a, nil
	}
	return area{}, p.cannotShare(syscall.EFAULT, "there is no memory at that address")
}

// shareable is the advice if memory cannot be shared.
const shareable = "use mmap with MAP_SHARED|MAP_ANONYMOUS, or map a memfd of MFD_ALLOW_SEALING"

func (p *process) cannotShare(e syscall.Errno, why string) error {
	return fault.New(e, "share memory of", fmt.Sprint("process ", p.pid), "%s", why)
}

// open opens the area's file, which has to be a memfd. It checks that before opening the file, and
// without a request to a file system, because the client could serve that file system.
func (a area) open(pid int) (int, error) {
	path, err := unix.Open(fmt.Sprintf("/proc/%d/map_files/%x-%x", pid, a.start, a.end),
		unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(path)
	var st unix.Statx_t
	err = unix.Statx(path, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st)
	if err != nil {
		return -1, err
	}
	if st.Ino != a.inode || st.Dev_major != a.major || st.Dev_minor != a.minor ||
		unix.Mkdev(a.major, a.minor) != memfds() {
		return -1, unix.EXDEV
	}
	return unix.Open(fmt.Sprintf("/proc/self/fd/%d", path), unix.O_RDWR|unix.O_CLOEXEC, 0)
}
