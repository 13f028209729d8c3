//go:build linux

package daemon

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Administers implements control.Process. It reports whether the calling thread has CAP_NET_ADMIN
// in the user namespace to which the network namespace belongs, or in an ancestor of it. It does
// not count a thread that has the right only because it made the user namespace, without being in
// it.
func (p *process) Administers(socket int) bool {
	theirs, ok := namespace(fmt.Sprintf("/proc/%d/ns/user", p.pid))
	if !ok || !hasCapability(p.pid, unix.CAP_NET_ADMIN) {
		return false
	}
	net, err := unix.IoctlRetInt(socket, unix.SIOCGSKNS)
	if err != nil {
		return false
	}
	fd, err := unix.IoctlRetInt(net, unix.NS_GET_USERNS)
	unix.Close(net)
	for err == nil {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && theirs == (inode{uint64(st.Dev), st.Ino}) {
			unix.Close(fd)
			return true
		}
		above, e := unix.IoctlRetInt(fd, unix.NS_GET_PARENT)
		unix.Close(fd)
		fd, err = above, e
	}
	return false
}

// inode identifies a namespace.
type inode struct{ dev, number uint64 }

func namespace(path string) (inode, bool) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return inode{uint64(st.Dev), st.Ino}, err == nil
}

// hasCapability reports whether a thread has an effective capability, in its own user namespace.
func hasCapability(tid, capability int) bool {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			return err == nil && set&(1<<capability) != 0
		}
	}
	return false
}
