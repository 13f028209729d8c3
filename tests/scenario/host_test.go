//go:build linux

package scenario

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// inline is a host whose interface "v" is in netmap mode, and a peer with an ordinary interface.
type inline struct {
	*world
	host, peer *testutil.NS
}

// Addresses of the host and the peer, and one that neither has.
const (
	hostIP, peerIP   = "10.98.0.1", "10.98.0.2"
	hostIP6, peerIP6 = "fd98::1", "fd98::2"
)

func newInline(w *world, queues int) *inline {
	w.Helper()
	in := &inline{w, testutil.NewNS(w.T), testutil.NewNS(w.T)}
	testutil.Veth(w.T, in.host, "v", in.peer, "v", queues)
	// The peer must not leave checksums and segments to its interface: a veth passes them on
	// unfinished.
	in.peer.Offloads(w.T, "v", "tx", "off", "txvlan", "off")
	in.host.AddAddr(w.T, "v", hostIP+"/24")
	in.host.AddAddr(w.T, "v", hostIP6+"/64")
	in.peer.AddAddr(w.T, "v", peerIP+"/24")
	in.peer.AddAddr(w.T, "v", peerIP6+"/64")
	return in
}

func (in *inline) open(name string, options ...netmap.Option) (p *netmap.Port) {
	in.Helper()
	var err error
	in.host.Do(func() { p, err = in.tryOpen(name, options...) })
	testutil.Require(in.T, "AF_XDP and TCX", err)
	in.Cleanup(func() { p.Close() })
	return p
}

// lane is one direction of a forwarder: its frames go from some rings to others.
type lane struct{ from, to []*netmap.Ring }

// forwarder moves frames between ports until the test ends. look decides for each frame whether it
// may pass; with nil all pass.
type forwarder struct {
	lanes []lane
	look  func(up bool, frame []byte) bool
	stop  context.CancelFunc
	ended sync.WaitGroup
}

// forward starts a forwarder for a port with hardware and host rings, or for two ports, the host's
// first.
func (in *inline) forward(look func(up bool, frame []byte) bool, ports ...*netmap.Port) *forwarder {
	ctx, stop := context.WithCancel(in.Context())
	f := &forwarder{look: look, stop: stop}
	host, nic := ports[0], ports[len(ports)-1]
	tx, rx := len(nic.Tx()), len(nic.Rx())
	if host == nic {
		r := nic.Request()
		tx, rx = int(r.TxRings), int(r.RxRings)
	}
	hostTx := host.Tx()[len(host.Tx())-hosts(host.Request().HostTxRings, host.Tx()):]
	hostRx := host.Rx()[len(host.Rx())-hosts(host.Request().HostRxRings, host.Rx()):]
	f.lanes = []lane{{nic.Rx()[:rx], hostTx}, {hostRx, nic.Tx()[:tx]}}
	for _, p := range ports {
		f.ended.Go(func() {
			for ctx.Err() == nil {
				p.Poll(ctx, netmap.In, 20*time.Millisecond)
				f.move(ports)
			}
		})
	}
	in.Cleanup(f.close)
	return f
}

func hosts(n uint16, rings []*netmap.Ring) int { return min(int(n), len(rings)) }

var moving sync.Mutex // only one goroutine at a time may use a port

func (f *forwarder) move(ports []*netmap.Port) {
	moving.Lock()
	defer moving.Unlock()
	for i, l := range f.lanes {
		for k, r := range l.from {
			f.pass(i == 0, r, l.to[k%len(l.to)])
		}
	}
	for _, p := range ports {
		p.TxSync()
	}
}

func (f *forwarder) pass(up bool, from, to *netmap.Ring) {
	rx, tx := from.Window(), to.Window()
	for rx.Len() > 0 && tx.Len() > 0 {
		if f.look == nil || f.look(up, rx.Frame()) {
			netmap.Swap(tx.Slot(), rx.Slot())
			tx.Next()
		}
		rx.Next()
	}
	tx.Commit()
	rx.Commit()
}

func (f *forwarder) close() {
	f.stop()
	f.ended.Wait()
}

// transferred is how many bytes a test sends through TCP each way.
func transferred() int64 {
	if os.Getenv("NETMAP_SOAK") == "1" {
		return 200 << 20
	}
	return 10 << 20
}

// wantConnected checks that all kinds of traffic pass between host and peer.
func (in *inline) wantConnected(how string) {
	in.Helper()
	if lost := in.host.Ping(in.T, peerIP, 500, 56, 2*time.Millisecond); lost > 0 {
		in.Errorf("%s: %d of 500 pings lost", how, lost)
	}
	if lost := in.peer.Ping(in.T, hostIP, 100, 1472, 2*time.Millisecond); lost > 0 {
		in.Errorf("%s: %d of 100 large pings lost", how, lost)
	}
	if lost := in.host.Ping(in.T, peerIP, 20, 6000, 5*time.Millisecond); lost > 0 {
		in.Errorf("%s: %d of 20 pings in pieces lost", how, lost)
	}
	for _, addr := range []string{peerIP, peerIP6} {
		if lost := in.host.Datagrams(in.T, in.peer, addr, 200); lost > 0 {
			in.Errorf("%s: %d of 200 datagrams to %s lost", how, lost, addr)
		}
	}
	n := transferred()
	out := in.host.Transfer(in.T, in.peer, peerIP, n, 5*time.Minute)
	back := in.peer.Transfer(in.T, in.host, hostIP, n, 5*time.Minute)
	six := in.host.Transfer(in.T, in.peer, peerIP6, n/4, 5*time.Minute)
	in.Logf("%s: TCP out %.0f, in %.0f, IPv6 out %.0f Mbit/s", how, rate(n, out), rate(n, back),
		rate(n/4, six))
}

func rate(n int64, d time.Duration) float64 { return float64(n) * 8 / 1e6 / d.Seconds() }

// The host stays connected through a program that forwards between it and the wire, and after the
// program ends. The program sees no unfinished checksums and no uncut segments.
func hostForwarder(w *world) {
	in := newInline(w, 1)
	in.wantConnected("before")
	p := in.open("netmap:v*")
	longest := 0
	f := in.forward(func(_ bool, b []byte) bool {
		longest = max(longest, len(b))
		return true
	}, p)
	in.wantConnected("through the rings")
	f.close()
	if longest != 1514 {
		in.Errorf("the longest frame has %d bytes, want 1514", longest)
	}
	p.Close()
	in.awaitOwn()
	in.wantConnected("after")
}

// awaitOwn waits until the host has the interface back. FUSE tells the daemon of the close a moment
// later.
func (in *inline) awaitOwn() {
	in.Helper()
	for end := time.Now().Add(5 * time.Second); in.host.Ping(in.T, peerIP, 1, 56, 0) > 0; {
		if time.Now().After(end) {
			in.Fatal("the host is not connected after the port was closed")
		}
	}
}

func hostForwarderTagged(w *world) {
	in := newInline(w, 1)
	const id = 5
	in.host.Tag(in.T, "v", id)
	in.peer.Tag(in.T, "v", id)
	p := in.open("netmap:v*")
	var bad []byte
	longest := 0
	f := in.forward(func(_ bool, b []byte) bool {
		longest = max(longest, len(b))
		if len(b) < 18 || !bytes.Equal(b[12:16], []byte{0x81, 0, 0, id}) {
			bad = bytes.Clone(b)
		}
		return true
	}, p)
	in.wantConnected("tagged")
	f.close()
	if bad != nil {
		in.Errorf("a frame has no tag: %x", bad)
	}
	if longest != 1518 {
		in.Errorf("the longest frame has %d bytes, want 1518", longest)
	}
}

// Two ports as in upstream's bridge; the host's is opened first.
func hostForwarderTwoPorts(w *world) {
	in := newInline(w, 2)
	host := in.open("netmap:v^")
	nic := in.open("netmap:v")
	if !host.SameRegion(nic) || len(host.Tx()) != 1 || len(host.Rx()) != 1 || len(nic.Tx()) != 2 {
		in.Fatalf("%v and %v", host, nic)
	}
	in.forward(nil, host, nic)
	in.wantConnected("two ports")
}

func hostForwarderRings(w *world) {
	in := newInline(w, 2)
	p := in.open("netmap:v*", netmap.HostRings(2, 3))
	if len(p.Tx()) != 4 || len(p.Rx()) != 5 || p.Rx()[4].ID() != 4 || p.Tx()[2].ID() != 2 {
		in.Fatalf("%v", p)
	}
	in.forward(nil, p)
	in.wantConnected("several rings")
}

func hostForwarderLoop(w *world) {
	in := newInline(w, 1)
	in.forward(nil, in.open("netmap:v*", netmap.SyncLoop()))
	in.wantConnected("in a sync loop")
}

// Frames start inside their buffers, on both sides.
func hostForwarderOffsets(w *world) {
	in := newInline(w, 1)
	in.forward(nil, in.open("netmap:v*", netmap.Offsets(128, 66)))
	in.wantConnected("with offsets")
}

// In transparent mode the program only decides which frames pass, and does not move them.
func transparentMode(w *world)    { transparent(w) }
func transparentOffsets(w *world) { transparent(w, netmap.Offsets(128, 66)) }

func transparent(w *world, options ...netmap.Option) {
	in := newInline(w, 1)
	p := in.open("netmap:v*", options...)
	const closed = 7777
	ctx, stop := context.WithCancel(w.Context())
	var ended sync.WaitGroup
	for _, r := range p.Rx() {
		r.Forward(true)
	}
	var kept, dropped int
	ended.Go(func() {
		for ctx.Err() == nil {
			p.Poll(ctx, netmap.In, 20*time.Millisecond)
			for _, r := range p.Rx() {
				for slot, b := range r.Frames() {
					if udpPort(b) == closed {
						dropped++
						continue
					}
					kept++
					slot.Flags |= abi.NSForward
				}
			}
			p.RxSync()
		}
	})
	in.wantConnected("transparent")
	// One of three UDP ports is closed in both directions.
	for _, port := range []int{closed - 1, closed, closed + 1} {
		for _, d := range []struct {
			from, to *testutil.NS
			addr     string
		}{{in.host, in.peer, peerIP}, {in.peer, in.host, hostIP}} {
			in.wantDatagrams(d.from, d.to, d.addr, port, port != closed)
		}
	}
	stop()
	ended.Wait()
	if dropped != 20 || kept < 1000 {
		in.Errorf("%d frames dropped, want 20, and %d passed", dropped, kept)
	}
}

// udpPort returns the destination port of a UDP datagram in IPv4, 0 for other frames.
func udpPort(b []byte) int {
	if len(b) < 42 || b[12] != 8 || b[13] != 0 || b[23] != syscall.IPPROTO_UDP || b[14] != 0x45 {
		return 0
	}
	return int(binary.BigEndian.Uint16(b[36:]))
}

// wantDatagrams sends ten datagrams to a port, of which all have to arrive, or none.
func (in *inline) wantDatagrams(from, to *testutil.NS, addr string, port int, all bool) {
	in.Helper()
	const count = 10
	server := in.listen(to, addr, port)
	defer server.Close()
	in.say(from, server.LocalAddr().String(), count)
	want, patience := 0, 200*time.Millisecond
	if all {
		want, patience = count, 5*time.Second
	}
	server.SetReadDeadline(time.Now().Add(patience))
	got := 0
	for b := make([]byte, 2000); got < count; got++ {
		if _, _, err := server.ReadFrom(b); err != nil {
			break
		}
	}
	if got != want {
		in.Errorf("%d of %d datagrams to %s, port %d arrive, want %d", got, count, addr, port, want)
	}
}

func (in *inline) listen(ns *testutil.NS, addr string, port int) (c net.PacketConn) {
	in.Helper()
	var err error
	ns.Do(func() { c, err = net.ListenPacket("udp", net.JoinHostPort(addr, fmt.Sprint(port))) })
	in.must(err)
	return c
}

// say sends numbered datagrams.
func (in *inline) say(from *testutil.NS, to string, count int) {
	in.Helper()
	var c net.Conn
	var err error
	from.Do(func() { c, err = net.Dial("udp", to) })
	in.must(err)
	defer c.Close()
	for i := range count {
		fmt.Fprintf(c, "datagram %d", i)
	}
}

// introduce gives each host the other's hardware address, so that there are no ARP frames.
func (in *inline) introduce() {
	in.Helper()
	if in.host.Ping(in.T, peerIP, 1, 56, 0) > 0 {
		in.Fatal("the hosts are not connected")
	}
}

// While only the host rings are open, the host sends and receives on the interface as usual. It
// also receives what the program sends on the host ring.
func hostRingsAlone(w *world) {
	in := newInline(w, 1)
	in.introduce()
	p := in.open("netmap:v^")
	in.wantConnected("with host rings open")
	if got := len(w.texts(p)); got > 0 {
		in.Errorf("%d frames in the host ring, although the interface is not in netmap mode", got)
	}
	server := in.listen(in.host, hostIP, 5000)
	defer server.Close()
	var mac net.HardwareAddr
	in.host.Do(func() {
		l, err := net.InterfaceByName("v")
		in.must(err)
		mac = l.HardwareAddr
	})
	tx := p.Tx()[0]
	for i := range 3000 { // more than the ring has slots: there is always room
		if tx.Send(datagram(mac, 5000, fmt.Sprint(i))) != 1 {
			in.Fatalf("no room for frame %d", i)
		}
		in.must(p.TxSync())
		if tx.Len() != tx.NumSlots()-1 {
			in.Fatalf("%d slots free after a sync, want all %d", tx.Len(), tx.NumSlots()-1)
		}
		b := make([]byte, 100)
		server.SetReadDeadline(time.Now().Add(time.Second))
		if n, from, err := server.ReadFrom(b); err != nil || string(b[:n]) != fmt.Sprint(i) ||
			from.(*net.UDPAddr).IP.String() != peerIP {
			in.Fatalf("datagram %d: %q from %v, %v", i, b[:n], from, err)
		}
	}
	// Slots that hold no valid frame are lost, and only those.
	bad := tx.Window()
	buf := bad.Slot().BufIdx
	for _, s := range []abi.Slot{
		{BufIdx: buf, Len: 13}, {BufIdx: 1 << 30, Len: 60}, {BufIdx: buf, Len: 2049},
	} {
		saved := *tx.Slot(tx.Head())
		*tx.Slot(tx.Head()) = s
		at := tx.Head()
		tx.Advance(1)
		in.must(p.TxSync())
		*tx.Slot(at) = saved
	}
	tx.Send(datagram(mac, 5000, "last"))
	in.must(p.TxSync())
	b := make([]byte, 100)
	server.SetReadDeadline(time.Now().Add(time.Second))
	if n, _, err := server.ReadFrom(b); err != nil || string(b[:n]) != "last" {
		in.Fatalf("after bad slots: %q, %v", b[:n], err)
	}
}

// datagram returns a frame with a UDP datagram from the peer to the host, without checksum.
func datagram(to net.HardwareAddr, port uint16, text string) []byte {
	udp := binary.BigEndian.AppendUint16([]byte{0, 99}, port)
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(text)))
	udp = append(append(udp, 0, 0), text...)
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, syscall.IPPROTO_UDP, 0, 0}
	binary.BigEndian.PutUint16(ip[2:], uint16(20+len(udp)))
	ip = append(append(ip, net.ParseIP(peerIP).To4()...), net.ParseIP(hostIP).To4()...)
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	return append(append(append(append([]byte{}, to...), 2, 0, 0, 0, 0, 9, 8, 0), ip...), udp...)
}

// numbered returns the texts of the datagrams in each host ring of a port.
func numbered(p *netmap.Port, port int) (all [][]string) {
	p.RxSync()
	for _, r := range p.Rx() {
		var texts []string
		for _, b := range r.Frames() {
			if udpPort(b) == port {
				texts = append(texts, string(b[42:]))
			}
		}
		all = append(all, texts)
	}
	p.RxSync()
	return all
}

// Frames that the host sends while no host ring is open do not reach the wire. They wait, while
// there is room.
func hostRingsOpenLate(w *world) {
	in := newInline(w, 1)
	in.introduce()
	nic := in.open("netmap:v")
	server := in.listen(in.peer, peerIP, 5000)
	defer server.Close()
	in.say(in.host, peerIP+":5000", 30)
	server.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, _, err := server.ReadFrom(make([]byte, 100)); err == nil {
		in.Error("a datagram of the host reached the wire of an interface in netmap mode")
	}
	host := in.open("netmap:v^")
	got := numbered(host, 5000)[0]
	if len(got) != 30 || got[0] != "datagram 0" || got[29] != "datagram 29" {
		in.Errorf("%d datagrams wait: %q", len(got), got)
	}
	in.say(in.host, peerIP+":5000", 3000)
	got = numbered(host, 5000)[0]
	// There may be other frames.
	if most := host.Rx()[0].NumSlots() - 1; len(got) > most || len(got) < most-100 ||
		got[0] != "datagram 0" {
		in.Errorf("%d datagrams of 3000 found room, want nearly %d", len(got), most)
	}
	nic.Close()
	host.Close()
	in.awaitOwn()
}

// While netmap uses only some rings of an interface, the host goes on sending on it.
func hostKeepsQueues(w *world) {
	in := newInline(w, 2)
	in.introduce()
	one := in.open("netmap:v-1/T")
	rx := in.open("netmap:v^")
	for i := range 20 {
		in.wantDatagrams(in.host, in.peer, peerIP, 5000+i, true)
	}
	other := in.open("netmap:v-0/T")
	in.wantDatagrams(in.host, in.peer, peerIP, 6000, false)
	if got := numbered(rx, 6000)[0]; len(got) != 10 {
		in.Errorf("%d of 10 datagrams are in the host ring", len(got))
	}
	other.Close()
	one.Close()
	in.awaitOwn()
}

func hostRingNumbers(w *world) {
	in := newInline(w, 2)
	in.introduce()
	rx := in.open("netmap:v@conf:host-rings=3")
	if r := rx.Request(); r.HostTxRings != 3 || r.HostRxRings != 3 {
		in.Fatalf("%d tx and %d rx host rings, want 3", r.HostTxRings, r.HostRxRings)
	}
	one := in.open("netmap:v^2", netmap.HostRings(7, 7)) // the number is fixed already
	if r := one.Request(); r.HostTxRings != 3 || len(one.Rx()) != 1 || one.Rx()[0].ID() != 4 ||
		one.Tx()[0].ID() != 4 {
		in.Fatalf("%v of %d, the rx ring is %d", one, r.HostTxRings, one.Rx()[0].ID())
	}
	_, err := in.try("netmap:v^3")
	in.wantErrno("ring 3 of 3", err, syscall.EINVAL)
	all := in.open("netmap:v^")
	flows, rings := 40, map[int]int{}
	for i := range flows {
		in.say(in.host, fmt.Sprintf("%s:%d", peerIP, 5000+i), 5)
	}
	all.RxSync()
	where := map[int]map[int]int{} // number of datagrams by port and ring
	for k, r := range all.Rx() {
		for _, b := range r.Frames() {
			if p := udpPort(b); p != 0 {
				if where[p] == nil {
					where[p] = map[int]int{}
				}
				where[p][k]++
				rings[k]++
			}
		}
	}
	for i := range flows {
		if w := where[5000+i]; len(w) != 1 {
			in.Errorf("the datagrams to port %d are in rings %v, want 5 in one", 5000+i, w)
		}
	}
	if len(rings) != 2 { // the interface has two queues, and ring 2 is that of queue 2
		in.Errorf("datagrams are in rings %v, want 0 and 1", rings)
	}
	for _, p := range []*netmap.Port{rx, one, all} {
		p.Close()
	}
	in.awaitOwn()
	again := in.open("netmap:v")
	if r := again.Request(); r.HostTxRings != 1 || r.HostRxRings != 1 {
		in.Errorf("%d tx and %d rx host rings when all have been closed, want 1", r.HostTxRings,
			r.HostRxRings)
	}
}

func (in *inline) try(name string) (p *netmap.Port, err error) {
	in.host.Do(func() { p, err = in.tryOpen(name) })
	return p, err
}

// Monitors of host rings show what the host sends and receives: copies before, and the frames
// themselves after the port's program has read them.
func hostMonitors(w *world) {
	in := newInline(w, 1)
	in.introduce()
	nic := in.open("netmap:v")
	host := in.open("netmap:v^")
	copyRx, copyTx := in.open("netmap:v^/r"), in.open("netmap:v^/t")
	zero := in.open("netmap:v^/z")
	if n := len(zero.Rx()); n != 1 || zero.Rx()[0].ID() != 1 {
		in.Fatalf("%d rings, the first is %d", n, zero.Rx()[0].ID())
	}
	in.say(in.host, peerIP+":5000", 20)
	// The ring itself was not read yet.
	if got := numbered(copyRx, 5000)[0]; len(got) != 20 || got[19] != "datagram 19" {
		in.Errorf("the copy monitor sees %q", got)
	}
	if got := numbered(zero, 5000)[0]; len(got) != 0 {
		in.Errorf("the zero-copy monitor sees %q before they are released", got)
	}
	if got := numbered(host, 5000)[0]; len(got) != 20 {
		in.Errorf("the host ring has %q", got)
	}
	if got := numbered(zero, 5000)[0]; len(got) != 20 || got[19] != "datagram 19" {
		in.Errorf("the zero-copy monitor sees %q", got)
	}
	for i := range 10 {
		host.Tx()[0].Send(datagram(make(net.HardwareAddr, 6), 6000, fmt.Sprintf("datagram %d", i)))
	}
	in.must(host.TxSync())
	if got := numbered(copyTx, 6000)[0]; len(got) != 10 || got[9] != "datagram 9" {
		in.Errorf("the copy monitor of tx sees %q", got)
	}
	in.must(zero.RxSync())
	n := 0
	for slot, b := range zero.Rx()[0].Frames() {
		if udpPort(b) == 6000 && slot.Flags&abi.NSTxMon != 0 {
			n++
		}
	}
	if n != 10 {
		in.Errorf("the zero-copy monitor sees %d of 10 that were sent", n)
	}
	for _, p := range []*netmap.Port{zero, copyTx, copyRx, host, nic} {
		p.Close()
	}
}
