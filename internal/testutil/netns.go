//go:build linux

package testutil

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// NS is a network namespace without a name. It exists until the test that made it ends.
type NS struct {
	fd int
}

// NewNS makes a network namespace. Loopback is up. IPv6 is off, so that the namespace has no frames
// but those of the test. The test is skipped if it may not make namespaces.
func NewNS(t testing.TB) *NS {
	t.Helper()
	fd, err := unshare()
	Require(t, "a network namespace (root)", err)
	ns := &NS{fd: fd}
	t.Cleanup(func() { unix.Close(fd) })
	ns.Do(func() { err = errors.Join(noIPv6(), loopbackUp()) })
	if err != nil {
		t.Fatalf("set up network namespace: %v", err)
	}
	return ns
}

// FD returns the descriptor of the namespace, for setns(2). The NS closes it.
func (ns *NS) FD() int { return ns.fd }

// Do runs f in the namespace, on the calling goroutine. Goroutines that f starts are not in the
// namespace; sockets that f opens stay in it. f may end the test (t.Fatal), and calls may nest.
func (ns *NS) Do(f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	back := must(currentNS())
	defer unix.Close(back)
	check(unix.Setns(ns.fd, unix.CLONE_NEWNET))
	defer func() { check(unix.Setns(back, unix.CLONE_NEWNET)) }()
	f()
}

// unshare makes a namespace and returns to the thread's own.
func unshare() (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	back := must(currentNS())
	defer unix.Close(back)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return -1, fmt.Errorf("unshare(CLONE_NEWNET): %w", err)
	}
	defer func() { check(unix.Setns(back, unix.CLONE_NEWNET)) }()
	return currentNS()
}

// currentNS opens the namespace of the calling thread.
func currentNS() (int, error) {
	return unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// check panics on errors. A thread in the wrong namespace would send the frames of other tests to
// unknown networks, so nothing may run after it.
func check(err error) {
	if err != nil {
		panic(fmt.Sprintf("switch network namespace: %v", err))
	}
}

func must(fd int, err error) int {
	check(err)
	return fd
}

// noIPv6 prevents router solicitations, MLD reports and duplicate address detection on interfaces
// that are made later.
func noIPv6() error {
	for _, dir := range []string{"all", "default"} {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+dir+"/disable_ipv6", []byte("1"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6 has no such file
			return err
		}
	}
	return nil
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}

// Veth makes a veth pair, nameA in nsA and nameB in nsB. Each end has so many rx and tx queues. It
// returns the interface indexes of both ends when both are up and have carrier. The pair vanishes
// with its namespaces.
func Veth(
	t testing.TB, nsA *NS, nameA string, nsB *NS, nameB string, queues int,
) (indexA, indexB int) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = nameA
	attrs.NumTxQueues, attrs.NumRxQueues = queues, queues
	veth := netlink.NewVeth(attrs)
	veth.PeerName = nameB
	veth.PeerNamespace = netlink.NsFd(nsB.fd)
	veth.PeerNumTxQueues, veth.PeerNumRxQueues = uint32(queues), uint32(queues)

	a, b := newHandle(t, nsA), newHandle(t, nsB)
	defer a.Close()
	defer b.Close()
	Require(t, "veth interfaces", a.LinkAdd(veth))
	setUp(t, a, nameA)
	setUp(t, b, nameB)
	return waitCarrier(t, a, nameA), waitCarrier(t, b, nameB)
}

func newHandle(t testing.TB, ns *NS) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.fd), unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatalf("netlink: %v", err)
	}
	return h
}

func setUp(t testing.TB, h *netlink.Handle, name string) {
	t.Helper()
	l, err := h.LinkByName(name)
	if err == nil {
		err = h.LinkSetUp(l)
	}
	if err != nil {
		t.Fatalf("set %s up: %v", name, err)
	}
}

// waitCarrier waits until the interface can carry frames and returns its index.
func waitCarrier(t testing.TB, h *netlink.Handle, name string) int {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		l, err := h.LinkByName(name)
		if err != nil {
			t.Fatalf("look at %s: %v", name, err)
		}
		if l.Attrs().OperState == netlink.OperUp {
			return l.Attrs().Index
		}
		if time.Now().After(end) {
			t.Fatalf("%s has no carrier after 5 s: state %v", name, l.Attrs().OperState)
		}
	}
}
