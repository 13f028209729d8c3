package lab

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

// Wire is a veth pair of one queue. Each end is in a network namespace without a name and without
// addresses, which vanishes after its last use.
type Wire struct{ Left, Right *Site }

// Site is an end of a wire.
type Site struct {
	Iface string
	NS    netns.NsHandle
	links *netlink.Handle
}

func NewWire() (*Wire, error) {
	left, err := newSite("left")
	if err != nil {
		return nil, err
	}
	right, err := newSite("right")
	if err != nil {
		left.close()
		return nil, err
	}
	w := &Wire{left, right}
	if err := w.plug(); err != nil {
		w.Close()
		return nil, fmt.Errorf("make a veth pair: %w", err)
	}
	return w, nil
}

func newSite(iface string) (*Site, error) {
	handle, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	links, err := netlink.NewHandleAt(handle)
	if err != nil {
		handle.Close()
		return nil, err
	}
	return &Site{iface, handle, links}, nil
}

// newNamespace makes a namespace, and puts the thread back into its old one. If the thread cannot
// go back, no other goroutine uses it again.
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

// noIPv6 disables IPv6 in the namespace, so that the kernel itself sends no frames there.
func noIPv6() error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel without IPv6
	}
	return err
}

func (w *Wire) plug() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = w.Left.Iface
	attrs.NumTxQueues, attrs.NumRxQueues = 1, 1
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerNamespace = w.Right.Iface, netlink.NsFd(w.Right.NS)
	veth.PeerNumTxQueues, veth.PeerNumRxQueues = 1, 1
	return errors.Join(w.Left.links.LinkAdd(veth), w.Left.up(), w.Right.up(), w.Left.awaitCarrier(),
		w.Right.awaitCarrier())
}

func (w *Wire) Close() {
	w.Left.close()
	w.Right.close()
}

func (s *Site) close() {
	s.links.Close()
	s.NS.Close()
}

func (s *Site) up() error {
	l, err := s.links.LinkByName(s.Iface)
	if err != nil {
		return err
	}
	return s.links.LinkSetUp(l)
}

func (s *Site) awaitCarrier() error {
	for end := time.Now().Add(goodTime); time.Now().Before(end); time.Sleep(time.Millisecond) {
		l, err := s.links.LinkByName(s.Iface)
		if err != nil || l.Attrs().OperState == netlink.OperUp {
			return err
		}
	}
	return fmt.Errorf("%s has no carrier", s.Iface)
}

// Start starts a program in the namespace.
func (s *Site) Start(argv []string, change ...func(*exec.Cmd)) (p *Process, err error) {
	inside := ns.Do(s.NS, s.Iface, func() error {
		p, err = Start(argv, change...)
		return nil
	})
	return p, errors.Join(err, inside)
}

// Received returns the kernel's count of received frames.
func (s *Site) Received() (float64, error) {
	l, err := s.links.LinkByName(s.Iface)
	if err != nil {
		return 0, err
	}
	return float64(l.Attrs().Statistics.RxPackets), nil
}

// Offered is the kernel's count of frames that were sent to this end, including those that the
// other end did not take.
func (s *Site) Offered() (float64, error) {
	l, err := s.links.LinkByName(s.Iface)
	if err != nil {
		return 0, err
	}
	n := l.Attrs().Statistics
	return float64(n.TxPackets + n.TxDropped), nil
}
