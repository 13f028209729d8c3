//go:build linux

package hoststack_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/tap"
	"github.com/seed-48afdc40/netmap/internal/testutil"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// newBareLab is a lab without a peer. Its host has an interface with this name, whose frames have
// no Ethernet header. The queue is the interface's other end.
func newBareLab(t *testing.T, name string) (*lab, *tap.Queue) {
	t.Helper()
	testutil.CheckLeaks(t)
	l := &lab{T: t, host: testutil.NewNS(t)}
	var tun *tap.Interface
	var err error
	l.host.Do(func() {
		if tun, err = tap.NewQueues(name, tap.Bare, 1); err == nil {
			var link netlink.Link
			if link, err = netlink.LinkByName(name); err == nil {
				err = netlink.LinkSetUp(link)
			}
		}
	})
	testutil.Require(t, "TUN", err)
	t.Cleanup(func() { tun.Close() })
	cfg := engine.Config{}
	cfg.Region.Buf.Num, cfg.Region.NoHuge = 20000, true
	if l.e, err = engine.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.e.Close() })
	return l, tun.Queue(0)
}

// An interface without Ethernet headers has host rings, too; they carry IP packets. A ping that
// comes in on the interface is answered through the rings as it is without them.
func TestBareInterface(t *testing.T) {
	l, far := newBareLab(t, "tun7")
	l.host.AddAddr(t, "tun7", "10.98.0.1/24")
	l.host.AddAddr(t, "tun7", "fd98::1/64")
	pings := map[string][]byte{
		"IPv4": echoRequest("10.98.0.2", "10.98.0.1", 1000),
		"IPv6": echoRequest("fd98::2", "fd98::1", 1000),
	}
	check := func(when string) {
		t.Helper()
		for version, request := range pings {
			if !answered(far, request) {
				t.Errorf("%s, %s: the host does not answer", when, version)
			}
		}
	}
	check("before")
	p := l.open("netmap:tun7*")
	stop := l.run(p, swap(p))
	check("through the rings")
	stop()
	if s := l.stats("tun7"); s.Detail != xsk.Generic.String() {
		t.Errorf("the mode is %s: received and sent packets are told apart in generic mode only",
			s.Detail)
	}
	for _, r := range p.Rx() {
		if n := r.Head(); int(n) < len(pings) {
			t.Errorf("%d packets in rx ring %d, want %d at least", n, r.ID(), len(pings))
		}
	}
	p.Close()
	check("after")
}

// Frames of the loopback interface are as long as its MTU, which may be beyond the limit of a TAP.
// A packet has at most 17 slots to be sent; a note tells of the limit.
func TestLoopback(t *testing.T) {
	for _, mtu := range []int{68, 1500, 65521, 65522, 65536, 65575} {
		t.Run(strconv.Itoa(mtu), func(t *testing.T) {
			testutil.CheckLeaks(t)
			var notes []string
			cfg := engine.Config{NIC: engine.NICConfig{OnEvent: func(e event.Event) {
				if e.Kind == event.Note {
					notes = append(notes, e.String())
				}
			}}}
			cfg.Region.Buf.Num, cfg.Region.NoHuge = 20000, true
			l := &lab{T: t, host: testutil.NewNS(t)}
			var err error
			if l.e, err = engine.New(cfg); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.e.Close() })
			setLoopback(l, mtu)
			conn := l.listen("127.0.0.1:7")
			p := l.open("netmap:lo*")
			l.run(p, swap(p))
			longest := min(mtu, 17*2048-14, 65535) - 20 - 8
			for _, size := range []int{1, longest / 2, longest} {
				if !sendsTo(conn, size) {
					t.Errorf("a datagram of %d bytes does not arrive", size)
				}
			}
			all := strings.Join(notes, "\n")
			if !strings.Contains(all, "the host does not reach itself") ||
				strings.Contains(all, "34816") != (mtu > 34816-14) {
				t.Errorf("notes: %q", notes)
			}
		})
	}
}

// setLoopback lets the host accept frames that come in on the loopback interface from outside.
func setLoopback(l *lab, mtu int) {
	l.Helper()
	l.host.Do(func() {
		var err error
		for _, name := range []string{"route_localnet", "accept_local"} {
			if err == nil {
				err = os.WriteFile("/proc/sys/net/ipv4/conf/lo/"+name, []byte("1"), 0)
			}
		}
		var lo netlink.Link
		if err == nil {
			lo, err = netlink.LinkByName("lo")
		}
		if err == nil {
			err = netlink.LinkSetMTU(lo, mtu)
		}
		if err != nil {
			l.Fatal(err)
		}
	})
}

// listen opens a UDP socket on the host.
func (l *lab) listen(addr string) (conn *net.UDPConn) {
	l.Helper()
	a, err := net.ResolveUDPAddr("udp4", addr)
	if err == nil {
		l.host.Do(func() { conn, err = net.ListenUDP("udp4", a) })
	}
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { conn.Close() })
	return conn
}

// sendsTo sends a datagram to the socket itself, and reports whether it arrives unchanged.
func sendsTo(conn *net.UDPConn, size int) bool {
	sent, b := bytes.Repeat([]byte("netmap"), size/6+1)[:size], make([]byte, 1<<16)
	conn.SetReadBuffer(1 << 20)
	conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.WriteTo(sent, conn.LocalAddr()); err != nil {
		return false
	}
	n, _, err := conn.ReadFrom(b)
	return err == nil && bytes.Equal(b[:n], sent)
}

// answered sends an echo request repeatedly until the answer comes: the request with exchanged
// addresses.
func answered(far *tap.Queue, request []byte) bool {
	b, next := make([]byte, 1<<16), time.Now()
	for end := next.Add(5 * time.Second); time.Now().Before(end); {
		if !time.Now().Before(next) {
			far.Write(request) // the host may need a moment after its interface came up
			next = next.Add(500 * time.Millisecond)
		}
		far.Into(0, b)
		n, e := far.Read(1)
		if e != 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		const payload = 100
		if n == len(request) && bytes.Equal(b[payload:n], request[payload:]) &&
			b[0] == request[0] && !bytes.Equal(b[:n], request) {
			return true
		}
	}
	return false
}

// echoRequest is an IP packet with an echo request of this size.
func echoRequest(source, target string, size int) []byte {
	from, to := netip.MustParseAddr(source), netip.MustParseAddr(target)
	icmp := append([]byte{8, 0, 0, 0, 1, 2, 0, 1}, bytes.Repeat([]byte("netmap"), size/6)...)
	var head []byte
	if from.Is4() {
		head = []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_ICMP, 0, 0}
		binary.BigEndian.PutUint16(head[2:], uint16(20+len(icmp)))
		head = append(append(head, from.AsSlice()...), to.AsSlice()...)
		binary.BigEndian.PutUint16(head[10:], checksum(head))
		binary.BigEndian.PutUint16(icmp[2:], checksum(icmp))
		return append(head, icmp...)
	}
	icmp[0] = 128
	head = []byte{0x60, 0, 0, 0, 0, 0, unix.IPPROTO_ICMPV6, 64}
	binary.BigEndian.PutUint16(head[4:], uint16(len(icmp)))
	head = append(append(head, from.AsSlice()...), to.AsSlice()...)
	pseudo := append(append(from.AsSlice(), to.AsSlice()...), 0, 0, byte(len(icmp)>>8),
		byte(len(icmp)), 0, 0, 0, unix.IPPROTO_ICMPV6)
	binary.BigEndian.PutUint16(icmp[2:], checksum(append(pseudo, icmp...)))
	return append(head, icmp...)
}

func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i, x := range b {
		sum += uint32(x) << (8 * (1 - i&1))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
