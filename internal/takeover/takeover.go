//go:build linux

// Package takeover prepares a network interface for netmap and restores it afterwards. It switches
// off offloads that would change frames, sets the queues that the driver needs, and enters
// promiscuous mode on request.
//
// Before a setting is changed, the change is recorded in a file. The process keeps the file locked
// while it lives. So a record that is not locked belongs to a process that was killed, and Recover
// undoes its changes.
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

// Needs are the settings that an interface has to have.
type Needs struct {
	Off      []string          // features to switch off where the driver can; see package ethtool
	Channels *ethtool.Channels // numbers of queues, nil to keep them
	Promisc  bool              // receive frames for any address
	Deferral *ethtool.Deferral // of interrupts, nil to keep it
}

// Breaking are the features that change received frames from what was on the wire.
var Breaking = []string{ethtool.FeatureLRO, ethtool.FeatureGROHW, ethtool.FeatureRxVLAN,
	ethtool.FeatureRxSTag}

// Joining are the features that join received frames. The kernel applies them before an interface
// on top of this one (VLAN, bridge) receives a frame.
var Joining = []string{ethtool.FeatureLRO, ethtool.FeatureGROHW, ethtool.FeatureGRO,
	ethtool.FeatureGROList, ethtool.FeatureGROForward}

// Taken is an interface that netmap has taken over. Its methods are for one goroutine at a time.
type Taken struct {
	dir    recordDir
	record Record
	file   *locked // nil while nothing has been changed
	dev    *netdev.Device
	member int // packet socket that keeps promiscuous mode on; -1 for none
}

// Take prepares an interface and keeps its record in dir. Errors: EBUSY when another process that
// is alive has changed the interface, ENODEV when there is no such interface, EPERM without
// CAP_NET_ADMIN, and those of making a file in dir. After an error the interface is as it was.
func Take(dir string, ifindex int, needs Needs) (*Taken, error) {
	r, err := identify(ifindex)
	if err != nil {
		return nil, err
	}
	t := &Taken{dir: recordDir{dir}, record: r, member: -1}
	if err := t.dir.recoverLeftovers(r.file()); err != nil {
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

// Need adds to the settings that the interface has to have. Errors are those of Take. If Need
// fails, the changes of earlier calls stay.
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

// change records changes and makes them.
func (t *Taken) change(c Changes) error {
	before := t.record.Changes
	t.record.Changes = before.with(c)
	if err := t.write(); err != nil {
		t.record.Changes = before
		return err
	}
	if err := c.do(t.record.Ifindex); err != nil {
		return changeHints.Wrap(err, fmt.Sprintf("prepare (%v)", c), t.dev.Name())
	}
	return nil
}

var changeHints = fault.Hints{
	syscall.EPERM:      "needs CAP_NET_ADMIN in the network namespace",
	syscall.EOPNOTSUPP: "its driver cannot change that",
	syscall.EINVAL:     "its driver refuses that: try 'ethtool -K' and 'ethtool -L'",
	syscall.ENODEV:     "the interface is gone",
}

func (t *Taken) write() (err error) {
	if t.file == nil {
		t.file, err = t.dir.create(t.record)
		return err
	}
	next, err := t.dir.replace(t.record)
	if err != nil {
		return err
	}
	t.file.Close()
	t.file = next
	return nil
}

// Changes describes for people what was changed; "" for no change.
func (t *Taken) Changes() string {
	if t.record.Changes.empty() {
		return ""
	}
	return t.record.Changes.String()
}

// Restore undoes all changes. If that fails, the record stays for Recover. If the interface is
// gone, nothing is undone, even if another interface has its index now.
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
	if err := t.record.Changes.undo(t.record.Ifindex); err != nil &&
		!errors.Is(err, syscall.ENODEV) {
		return fault.Wrap(err, "give back", t.dev.Name(),
			"%v: try again with 'netmap doctor --restore'", t.record.Changes)
	}
	t.record.Changes = Changes{}
	return t.file.remove()
}

// Changes are changes of an interface's settings, with what is needed to undo them.
type Changes struct {
	Off  []string          `json:"off,omitempty"` // features that were on
	From *ethtool.Channels `json:"channels_from,omitempty"`
	To   *ethtool.Channels `json:"channels_to,omitempty"`

	DeferralFrom *ethtool.Deferral `json:"deferral_from,omitempty"`
	DeferralTo   *ethtool.Deferral `json:"deferral_to,omitempty"`
}

func (c Changes) empty() bool { return len(c.Off) == 0 && c.From == nil && c.DeferralFrom == nil }

// with joins changes; o was made after c.
func (c Changes) with(o Changes) Changes {
	c.Off = slices.Concat(c.Off, o.Off)
	if o.From != nil {
		if c.From == nil {
			c.From = o.From
		}
		c.To = o.To
	}
	if o.DeferralFrom != nil {
		if c.DeferralFrom == nil {
			c.DeferralFrom = o.DeferralFrom
		}
		c.DeferralTo = o.DeferralTo
	}
	return c
}

// Undone describes what undoing did: "rx-lro on again, queues 1 combined again".
func (c Changes) Undone() string {
	var parts []string
	for _, feature := range c.Off {
		parts = append(parts, feature+" on again")
	}
	if c.From != nil {
		parts = append(parts, "queues "+c.From.String()+" again")
	}
	if c.DeferralFrom != nil {
		parts = append(parts, c.DeferralFrom.String()+" again")
	}
	return strings.Join(parts, ", ")
}

// String describes the changes: "rx-lro off, queues 4 combined instead of 1 combined".
func (c Changes) String() string {
	var parts []string
	if len(c.Off) > 0 {
		parts = append(parts, strings.Join(c.Off, " and ")+" off")
	}
	if c.From != nil {
		parts = append(parts, "queues "+c.To.String()+" instead of "+c.From.String())
	}
	if c.DeferralFrom != nil {
		parts = append(parts, fmt.Sprintf("%v instead of %v", c.DeferralTo, c.DeferralFrom))
	}
	return strings.Join(parts, ", ")
}

// missing returns the changes that needs asks for.
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
	if needs.Deferral != nil {
		now, err := ethtool.AskDeferral(r.Ifindex)
		if err != nil {
			return Changes{}, err
		}
		if now != *needs.Deferral {
			c.DeferralFrom, c.DeferralTo = &now, needs.Deferral
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
		if err := ethtool.SetChannels(ifindex, *c.To); err != nil {
			return err
		}
	}
	if c.DeferralTo != nil {
		return ethtool.SetDeferral(ifindex, *c.DeferralTo)
	}
	return nil
}

// undo undoes the changes, also if do has made only a part of them. It keeps a number of queues
// that somebody else has set meanwhile.
func (c Changes) undo(ifindex int) error {
	var errs []error
	if c.DeferralFrom != nil {
		errs = append(errs, c.undoDeferral(ifindex))
	}
	if c.From != nil {
		errs = append(errs, c.undoChannels(ifindex))
	}
	if len(c.Off) > 0 {
		errs = append(errs, ethtool.SetFeatures(ifindex, all(c.Off, true)))
	}
	return errors.Join(errs...)
}

// releaseTime is the longest time that the kernel takes to release the queues of AF_XDP sockets
// after they were closed.
const releaseTime = 2 * time.Second

func (c Changes) undoChannels(ifindex int) error {
	now, err := ethtool.AskChannels(ifindex)
	if err != nil || now != *c.To {
		return err
	}
	for end := time.Now().Add(releaseTime); ; time.Sleep(2 * time.Millisecond) {
		if err = ethtool.SetChannels(ifindex, *c.From); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// undoDeferral restores the settings, unless somebody else has changed them meanwhile. If the
// process was killed between two changes, only the first of them was made.
func (c Changes) undoDeferral(ifindex int) error {
	now, err := ethtool.AskDeferral(ifindex)
	half := ethtool.Deferral{HardIRQs: c.DeferralTo.HardIRQs,
		FlushTimeout: c.DeferralFrom.FlushTimeout}
	if err != nil || now != *c.DeferralTo && now != half {
		return err
	}
	return ethtool.SetDeferral(ifindex, *c.DeferralFrom)
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

// joinPromisc keeps an interface in promiscuous mode until the returned socket is closed. The
// kernel counts such requests, so those of others are not affected. The socket has no protocol and
// receives no frames.
func joinPromisc(ifindex int, name string) (int, error) {
	const op = "enter promiscuous mode on"
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, socketHints.Wrap(err, op, name)
	}
	mreq := unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC}
	err = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq)
	if err != nil {
		unix.Close(fd)
		return -1, socketHints.Wrap(err, op, name)
	}
	return fd, nil
}
