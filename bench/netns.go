package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/seed-48afdc40/netmap/internal/ns"
)

// wire is a veth pair of one queue, each end in a network namespace that has no name and no address, and vanishes when
// nobody uses it any more.
type wire struct{ left, right *site }

// site is an end of a wire.
type site struct {
	iface string
	ns    netns.NsHandle
	links *netlink.Handle
}

func newWire() (*wire, error) {
	left, err := newSite("left")
	if err != nil {
		return nil, err
	}
	right, err := newSite("right")
	if err != nil {
		left.close()
		return nil, err
	}
	w := &wire{left, right}
	if err := w.plug(); err != nil {
		w.close()
		return nil, fmt.Errorf("make a veth pair: %w", err)
	}
	return w, nil
}

func newSite(iface string) (*site, error) {
	handle, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	links, err := netlink.NewHandleAt(handle)
	if err != nil {
		handle.Close()
		return nil, err
	}
	return &site{iface, handle, links}, nil
}

// newNamespace returns to the thread's own namespace, or gives the thread up.
func newNamespace() (netns.NsHandle, error) {
	runtime.LockOSThread()
	here, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return netns.None(), err
	}
	defer here.Close()
	made, err := netns.New()
	if err == nil {
		err = noIPv6()
	}
	if back := netns.Set(here); back != nil {
		return netns.None(), back
	}
	runtime.UnlockOSThread()
	return made, err
}

// noIPv6 keeps the namespace from sending frames of its own accord.
func noIPv6() error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel without it
	}
	return err
}

func (w *wire) plug() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = w.left.iface
	attrs.NumTxQueues, attrs.NumRxQueues = 1, 1
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace = w.right.iface, netlink.NsFd(w.right.ns)
	veth.PeerNumTxQueues, veth.PeerNumRxQueues = 1, 1
	return errors.Join(w.left.links.LinkAdd(veth), w.left.up(), w.right.up(), w.left.awaitCarrier(), w.right.awaitCarrier())
}

func (w *wire) close() {
	w.left.close()
	w.right.close()
}

func (s *site) close() {
	s.links.Close()
	s.ns.Close()
}

func (s *site) up() error {
	l, err := s.links.LinkByName(s.iface)
	if err != nil {
		return err
	}
	return s.links.LinkSetUp(l)
}

func (s *site) awaitCarrier() error {
	for end := time.Now().Add(goodTime); time.Now().Before(end); time.Sleep(time.Millisecond) {
		l, err := s.links.LinkByName(s.iface)
		if err != nil || l.Attrs().OperState == netlink.OperUp {
			return err
		}
	}
	return fmt.Errorf("%s has no carrier", s.iface)
}

// start starts a program in the namespace.
func (s *site) start(argv []string, change ...func(*exec.Cmd)) (p *process, err error) {
	inside := ns.Do(s.ns, s.iface, func() error {
		p, err = start(argv, change...)
		return nil
	})
	return p, errors.Join(err, inside)
}

// received is the kernel's count of frames that came in.
func (s *site) received() (float64, error) {
	l, err := s.links.LinkByName(s.iface)
	if err != nil {
		return 0, err
	}
	return float64(l.Attrs().Statistics.RxPackets), nil
}

// offered is the kernel's count of frames that somebody sent here, those included that the other end did not take.
func (s *site) offered() (float64, error) {
	l, err := s.links.LinkByName(s.iface)
	if err != nil {
		return 0, err
	}
	n := l.Attrs().Statistics
	return float64(n.TxPackets + n.TxDropped), nil
}
