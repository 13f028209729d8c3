//go:build linux

// Package takeover readies a network interface for netmap and gives it back as it was: offloads that would change frames are
// switched off, queues are set as the driver needs them, promiscuous mode is entered when asked for.
//
// What has to be undone is on record, in a file, before it is done. A record is locked for as long as its process lives,
// so that one whose lock is free is that of a process that was killed: Recover puts back what it says.
//
//	Take ---> record, locked ---> change ---> … ---> Restore: change back ---> no record
//	                                     killed ---> record, not locked ---> Recover: the same
//
// Interfaces are those of the calling thread's network namespace.
package takeover

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/netdev"
)

// Needs is what an interface has to be like.
type Needs struct {
	Off      []string          // features that have to be off, where the driver lets them; see package ethtool
	Channels *ethtool.Channels // queues, nil for as they are
	Promisc  bool              // take frames for any address
}

// Breaking are the features that make received frames others than those that were on the wire.
var Breaking = []string{ethtool.FeatureLRO, ethtool.FeatureGROHW, ethtool.FeatureRxVLAN, ethtool.FeatureRxSTag}

// Joining are the features that make one frame of several. They are done before an interface that
// stands on another sees a frame.
var Joining = []string{ethtool.FeatureLRO, ethtool.FeatureGROHW, ethtool.FeatureGRO, ethtool.FeatureGROList, ethtool.FeatureGROForward}

// Taken is an interface that is netmap's for a while. Its methods are for one goroutine at a time.
type Taken struct {
	book   book
	record Record
	file   *locked // the record, nil while nothing has been changed
	dev    *netdev.Device
	member int // packet socket that keeps promiscuous mode on, -1 for none
}

// Take readies an interface. Records are kept in dir. Errors: EBUSY when another process has changed the interface and
// lives, ENODEV when there is no such interface, EPERM without CAP_NET_ADMIN, and those of making a file in dir. On errors
// everything is as it was.
func Take(dir string, ifindex int, needs Needs) (*Taken, error) {
	r, err := identify(ifindex)
	if err != nil {
		return nil, err
	}
	t := &Taken{book: book{dir}, record: r, member: -1}
	if err := t.book.settle(r.file()); err != nil {
		return nil, err
	}
	if t.dev, err = netdev.Open(ifindex); err != nil {
		return nil, socketHints.Wrap(err, "take over", r.Name)
	}
	if err := t.Need(needs); err != nil {
		return nil, errors.Join(err, t.Restore())
	}
	return t, nil
}

// Need readies the interface for more. Errors are those of Take; what was taken before stays.
func (t *Taken) Need(needs Needs) error {
	changes, err := t.record.missing(needs)
	if err != nil {
		return err
	}
	if !changes.empty() {
		if err := t.change(changes); err != nil {
			return err
		}
	}
	if needs.Promisc && t.member < 0 {
		t.member, err = joinPromisc(t.record.Ifindex, t.dev.Name())
	}
	return err
}

// change makes changes that are not on record yet.
func (t *Taken) change(c Changes) error {
	before := t.record.Changes
	t.record.Changes = before.with(c)
	if err := t.write(); err != nil {
		t.record.Changes = before
		return err
	}
	if err := c.do(t.record.Ifindex); err != nil {
		return changeHints.Wrap(err, fmt.Sprintf("ready (%v)", c), t.dev.Name())
	}
	return nil
}

var changeHints = fault.Hints{
	syscall.EPERM:      "needs CAP_NET_ADMIN in the network namespace",
	syscall.EOPNOTSUPP: "its driver cannot change that",
	syscall.EINVAL:     "its driver does not take that: try with 'ethtool -K' and 'ethtool -L' what it takes",
	syscall.ENODEV:     "the interface is gone",
}

func (t *Taken) write() (err error) {
	if t.file == nil {
		t.file, err = t.book.create(t.record)
		return err
	}
	next, err := t.book.replace(t.record)
	if err != nil {
		return err
	}
	t.file.Close()
	t.file = next
	return nil
}

// Changes says what was changed, for people; nothing if there was no need to.
func (t *Taken) Changes() string {
	if t.record.Changes.empty() {
		return ""
	}
	return t.record.Changes.String()
}

// Restore puts everything back. What fails stays on record, for Recover. An interface that is gone
// needs nothing, and another that has its index by now is left alone.
func (t *Taken) Restore() error {
	defer t.dev.Close()
	if t.member >= 0 {
		unix.Close(t.member)
		t.member = -1
	}
	if t.file == nil {
		return nil
	}
	defer func() {
		t.file.Close()
		t.file = nil
	}()
	if t.dev.Gone() {
		return t.file.remove()
	}
	if err := t.record.Changes.undo(t.record.Ifindex); err != nil && !errors.Is(err, syscall.ENODEV) {
		return fault.Wrap(err, "give back", t.dev.Name(), "%v; 'netmap doctor --restore' tries again", t.record.Changes)
	}
	t.record.Changes = Changes{}
	return t.file.remove()
}

// Changes are what was changed on an interface, with what it takes to undo that.
type Changes struct {
	Off  []string          `json:"off,omitempty"` // features that were on
	From *ethtool.Channels `json:"channels_from,omitempty"`
	To   *ethtool.Channels `json:"channels_to,omitempty"`
}

func (c Changes) empty() bool { return len(c.Off) == 0 && c.From == nil }

// with is both, of which the first were made first.
func (c Changes) with(o Changes) Changes {
	c.Off = slices.Concat(c.Off, o.Off)
	if o.From != nil {
		if c.From == nil {
			c.From = o.From
		}
		c.To = o.To
	}
	return c
}

// Undone says what putting it back did: "rx-lro on again, queues 1 combined again".
func (c Changes) Undone() string {
	var parts []string
	for _, feature := range c.Off {
		parts = append(parts, feature+" on again")
	}
	if c.From != nil {
		parts = append(parts, "queues "+c.From.String()+" again")
	}
	return strings.Join(parts, ", ")
}

// String says what was changed: "rx-lro off, 4 combined queues instead of 1".
func (c Changes) String() string {
	var parts []string
	if len(c.Off) > 0 {
		parts = append(parts, strings.Join(c.Off, " and ")+" off")
	}
	if c.From != nil {
		parts = append(parts, "queues "+c.To.String()+" instead of "+c.From.String())
	}
	return strings.Join(parts, ", ")
}

// missing are the changes that the needs ask for.
func (r *Record) missing(needs Needs) (c Changes, err error) {
	if len(needs.Off) > 0 {
		f, err := ethtool.AskFeatures(r.Ifindex)
		if err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
			return Changes{}, fault.Wrap(err, "ask for offloads of", r.Name, "")
		}
		for _, name := range needs.Off {
			if f.Wanted[name] && f.Changeable[name] && !slices.Contains(r.Changes.Off, name) {
				c.Off = append(c.Off, name)
			}
		}
	}
	if needs.Channels != nil {
		now, err := ethtool.AskChannels(r.Ifindex)
		if err != nil {
			return Changes{}, fault.Wrap(err, "ask for queues of", r.Name, "")
		}
		if now != *needs.Channels {
			c.From, c.To = &now, needs.Channels
		}
	}
	return c, nil
}

func (c Changes) do(ifindex int) error {
	if len(c.Off) > 0 {
		if err := ethtool.SetFeatures(ifindex, all(c.Off, false)); err != nil {
			return err
		}
	}
	if c.To != nil {
		return ethtool.SetChannels(ifindex, *c.To)
	}
	return nil
}

// undo is the inverse of do, whether that was done or not. Queues that somebody else has changed meanwhile stay.
func (c Changes) undo(ifindex int) error {
	var errs []error
	if c.From != nil {
		errs = append(errs, c.undoChannels(ifindex))
	}
	if len(c.Off) > 0 {
		errs = append(errs, ethtool.SetFeatures(ifindex, all(c.Off, true)))
	}
	return errors.Join(errs...)
}

// releasePatience is how long the kernel may take until it has let go of queues whose AF_XDP sockets were just closed.
const releasePatience = 2 * time.Second

func (c Changes) undoChannels(ifindex int) error {
	now, err := ethtool.AskChannels(ifindex)
	if err != nil || now != *c.To {
		return err
	}
	for end := time.Now().Add(releasePatience); ; time.Sleep(2 * time.Millisecond) {
		if err = ethtool.SetChannels(ifindex, *c.From); err == nil || time.Now().After(end) {
			return err
		}
	}
}

func all(names []string, value bool) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = value
	}
	return m
}

var socketHints = fault.Hints{
	syscall.EPERM:  "needs CAP_NET_RAW in the network namespace",
	syscall.ENODEV: "the interface is gone",
}

// joinPromisc puts an interface in promiscuous mode for as long as the socket that it returns is open. The kernel counts
// those who want that, so it does no harm to others. No frame arrives at the socket: it has no protocol.
func joinPromisc(ifindex int, name string) (int, error) {
	const op = "enter promiscuous mode on"
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, socketHints.Wrap(err, op, name)
	}
	mreq := unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
		unix.Close(fd)
		return -1, socketHints.Wrap(err, op, name)
	}
	return fd, nil
}
