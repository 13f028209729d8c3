package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// nodeState is the state of a device node.
type nodeState struct {
	err    error // of reading it
	mode   uint32
	fuse   bool
	server string // the process that serves it, "" if unknown
}

// nodePatience is how long a daemon may take to answer.
const nodePatience = 2 * time.Second

// errSilent is the error of a node whose daemon does not answer.
var errSilent = errors.New("no answer")

// lookAtNode reads the node's state from the kernel. The kernel asks the daemon.
func lookAtNode(path string) nodeState {
	answer := make(chan nodeState, 1)
	go func() {
		var s nodeState
		var sf unix.Statfs_t
		var st unix.Stat_t
		if s.err = unix.Statfs(path, &sf); s.err == nil {
			s.err = unix.Stat(path, &st)
		}
		s.mode, s.fuse = st.Mode, sf.Type == unix.FUSE_SUPER_MAGIC
		if s.fuse {
			s.server = fuseServer(unix.Minor(st.Dev), "/proc")
		}
		answer <- s
	}()
	select {
	case s := <-answer:
		return s
	case <-time.After(nodePatience):
		return nodeState{err: errSilent}
	}
}

// fuseServer finds the process that serves a FUSE connection. It returns "" if it cannot.
func fuseServer(connection uint32, proc string) string {
	descriptors, _ := filepath.Glob(filepath.Join(proc, "[0-9]*/fd/*"))
	for _, d := range descriptors {
		if to, err := os.Readlink(d); err != nil || to != "/dev/fuse" {
			continue
		}
		process := filepath.Dir(filepath.Dir(d))
		info, _ := os.ReadFile(filepath.Join(process, "fdinfo", filepath.Base(d)))
		if !strings.Contains(string(info), fmt.Sprintf("fuse_connection:\t%d\n", connection)) {
			continue
		}
		command, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		return fmt.Sprintf("process %s (%s)", filepath.Base(process),
			strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " ")))
	}
	return ""
}

func checkNode(path string, s nodeState) finding {
	serve := "netmap serve --path " + path
	switch {
	case errors.Is(s.err, fs.ErrNotExist):
		return ok("%s is free for netmap serve", path)
	case errors.Is(s.err, syscall.ENOTCONN), errors.Is(s.err, syscall.ECONNABORTED):
		return warning(serve, "%s was left by a daemon that was killed; the next one replaces it", path)
	case errors.Is(s.err, errSilent):
		return failure("umount -l "+path,
			"the daemon that serves %s does not answer: end it, and unmount the node", path)
	case s.err != nil:
		return failure("ls -l "+path, "%s cannot be looked at: %v", path, s.err)
	case s.fuse && s.server != "":
		return ok("%s is served by %s", path, s.server)
	case s.fuse:
		return ok("%s is served by a process that cannot be seen from here", path)
	case s.mode&unix.S_IFMT == unix.S_IFCHR:
		return warning("rmmod netmap", "%s belongs to netmap's kernel module: use it, or unload it, "+
			"or choose another path with --path", path)
	case s.mode&unix.S_IFMT != unix.S_IFREG:
		return failure("netmap serve --path OTHER", "%s exists, and is no regular file", path)
	}
	return ok("%s is a file that netmap serve mounts on", path)
}
