//go:build linux

package daemon

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/placement"
)

// startMover starts the mover of clients, if it is wanted. It returns EPERM without the right to
// move other users' threads.
func (d *Daemon) startMover(wanted bool) error {
	if !wanted {
		return nil
	}
	if !hasCapability(os.Getpid(), unix.CAP_SYS_NICE) {
		return fault.New(syscall.EPERM, "move clients to one core", d.path, "it takes CAP_SYS_NICE: "+
			"run as root, or give the service that capability (CapabilityBoundingSet=), or serve "+
			"without --colocate")
	}
	d.mover = placement.NewMover(d.tellMove)
	return nil
}

// seat is a client for package placement.
type seat struct {
	c    *client
	user uint32
}

// Joins keeps users apart, so that no user decides where another's threads run.
func (s seat) Joins() string {
	if name := s.c.c.Joins(); name != "" {
		return fmt.Sprint(name, " of user ", s.user)
	}
	return ""
}

func (s seat) Frames() (sent, received uint64) { return s.c.c.Frames() }

// tellMove logs where clients are now, and why.
func (d *Daemon) tellMove(m placement.Move) {
	e := event.Event{Kind: event.Placed, Err: m.Err}
	for _, p := range m.Ports {
		if name := p.(seat).c.c.Port(); name != "" {
			e.Ports = append(e.Ports, name)
		}
	}
	e.Setting = "where the kernel puts them"
	if m.Core >= 0 {
		e.Setting = fmt.Sprint("core ", m.Core)
	}
	e.Reason = fmt.Sprintf("%.2f Mpps on one core, %.2f where the kernel puts them",
		m.Together/1e6, m.Free/1e6)
	d.log.Say(e)
}
