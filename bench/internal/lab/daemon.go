package lab

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Daemon is a running "netmap serve" with a node of its own.
type Daemon struct {
	*Process
	Node string
}

// Serve starts a daemon with these flags. All other flags have their defaults.
func (l *Lab) Serve(ctx context.Context, flags ...string) (*Daemon, error) {
	program, err := l.Netmap(ctx)
	if err != nil {
		return nil, err
	}
	node := l.Path("node")
	argv := append([]string{program, "serve", "--path", node}, flags...)
	p, err := Start(argv)
	if err != nil {
		return nil, err
	}
	d := &Daemon{p, node}
	if _, err := p.Await(ctx, "serving"); err != nil {
		d.Stop()
		return nil, err
	}
	return d, nil
}

// Stop ends the daemon, and removes a mount that it left behind.
func (d *Daemon) Stop() {
	d.Process.Stop()
	unix.Unmount(d.Node, unix.MNT_DETACH)
	os.Remove(d.Node)
}

// ticks is the number of the kernel's units of processor time in a second, the same on every
// architecture.
const ticks = 100

// CPUTime returns the processor time that the daemon has used.
func (d *Daemon) CPUTime() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return parseCPUTime(string(stat))
}

// parseCPUTime adds utime and stime, the 14th and 15th field of /proc/PID/stat. The second field is
// a name in brackets, which may contain spaces and brackets.
func parseCPUTime(stat string) (time.Duration, error) {
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(f) < 13 {
		return 0, fmt.Errorf("%q is no /proc/PID/stat", stat)
	}
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	if err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%q is no /proc/PID/stat", stat)
	}
	return time.Duration(user+system) * time.Second / ticks, nil
}
