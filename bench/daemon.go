package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// defaultSpin is what "netmap serve" does unless told otherwise.
const defaultSpin = 20 * time.Microsecond

// daemon is a running "netmap serve" with a node of its own.
type daemon struct {
	*process
	node string
}

func (l *lab) serve(ctx context.Context, spin time.Duration) (*daemon, error) {
	program, err := l.netmap(ctx)
	if err != nil {
		return nil, err
	}
	node := l.path("node")
	p, err := start([]string{program, "serve", "--path", node, "--spin", spin.String()})
	if err != nil {
		return nil, err
	}
	d := &daemon{p, node}
	if _, err := p.await(ctx, "serving"); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

// stop ends the daemon, and unmounts what it may have left.
func (d *daemon) stop() {
	d.process.stop()
	unix.Unmount(d.node, unix.MNT_DETACH)
	os.Remove(d.node)
}

// ticks are the kernel's units of processor time a second, the same on every architecture.
const ticks = 100

// cpuTime is the processor time that the daemon has used.
func (d *daemon) cpuTime() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return parseCPUTime(string(stat))
}

// parseCPUTime adds utime and stime, the 14th and 15th field of /proc/PID/stat. The second is a name in brackets that may
// hold anything.
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
