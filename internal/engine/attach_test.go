package engine_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// office is a namespace with interfaces v0, v1, …, each one end of a cable to a host. A host is a
// namespace of its own, in which the other end is called eth0 and has the address 10.0.0.1,
// 10.0.0.2, …
type office struct {
	t     *testing.T
	e     *engine.Engine
	ns    *testutil.NS
	hosts []*testutil.NS
}

func newOffice(t *testing.T, hosts, queues int) *office {
	t.Helper()
	return newOfficeOf(t, hosts, queues, engine.Config{})
}

// newOfficeOf returns an office whose engine has further configuration.
func newOfficeOf(t *testing.T, hosts, queues int, cfg engine.Config) *office {
	t.Helper()
	testutil.CheckLeaks(t)
	o := &office{t: t, ns: testutil.NewNS(t)}
	for i := range hosts {
		h := testutil.NewNS(t)
		testutil.Veth(t, o.ns, fmt.Sprint("v", i), h, "eth0", queues)
		h.Do(func() {
			link, err := netlink.LinkByName("eth0")
			if err == nil {
				var a *netlink.Addr
				if a, err = netlink.ParseAddr(fmt.Sprintf("10.0.0.%d/24", i+1)); err == nil {
					err = netlink.AddrAdd(link, a)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		o.hosts = append(o.hosts, h)
	}
	cfg.Region, cfg.MaxSwitches = mem.Config{Buf: mem.Pool{Num: 30000}, NoHuge: true}, 3
	e, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if u := e.Region().Usage(); !u.Full() {
			t.Errorf("not everything came back to the pools: %+v", u)
		}
	})
	o.e = e
	return o
}

func (o *office) attach(name string, change ...func(*abi.Register)) (index int, err error) {
	o.ns.Do(func() { index, err = o.e.Attach(engine.Here, name, request(0, change...)) })
	return index, err
}

func (o *office) mustAttach(name string) int {
	o.t.Helper()
	index, err := o.attach(name)
	testutil.Require(o.t, "AF_XDP", err)
	return index
}

func (o *office) open(name string) (b *engine.Binding, err error) {
	o.ns.Do(func() { b, err = o.e.Register(name, request(64)) })
	return b, err
}

// ping sends echo requests of 1400 bytes from host i to an address, one after the other, and
// returns how many were not answered.
func (o *office) ping(i int, to string, count int) (lost int) {
	o.t.Helper()
	var c net.PacketConn
	var err error
	o.hosts[i].Do(func() { c, err = net.ListenPacket("ip4:icmp", fmt.Sprintf("10.0.0.%d", i+1)) })
	testutil.Require(o.t, "raw sockets", err)
	defer c.Close()
	request := make([]byte, 1400)
	for seq := range count {
		copy(request, []byte{8, 0, 0, 0, 0xbe, 0xef, 0, byte(seq)}) // echo request, id, sequence
		binary.BigEndian.PutUint16(request[2:], ^internetSum(request))
		if _, err := c.WriteTo(request, &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
			o.t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
		for answer := make([]byte, 2000); ; {
			n, _, err := c.ReadFrom(answer)
			if err != nil {
				lost++
				break
			}
			if n == len(request) && answer[0] == 0 && bytes.Equal(answer[4:n], request[4:]) {
				break
			}
		}
	}
	return lost
}

// internetSum adds 16-bit words in ones' complement.
func internetSum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

func TestAttachedInterfacesAreSwitched(t *testing.T) {
	for _, queues := range []int{1, 4} {
		o := newOffice(t, 3, queues)
		for i := range 3 {
			if index := o.mustAttach(fmt.Sprint("vale0:v", i)); index != i {
				t.Errorf("v%d has index %d", i, index)
			}
		}
		if lost := o.ping(0, "10.0.0.2", 20); lost > 0 {
			t.Errorf("from 1 to 2: %d of 20 lost", lost)
		}
		if lost := o.ping(2, "10.0.0.1", 20); lost > 0 {
			t.Errorf("from 3 to 1: %d of 20 lost", lost)
		}
		for _, s := range o.e.Status().Ports {
			if s.Kind != "vale" || s.Detail == "" {
				t.Errorf("statistics of %s: %+v", s.Name, s)
			}
		}
	}
}

// Frames that programs send on a switch leave through the attached interface, and the other way
// round.
func TestProgramsOnASwitchWithAnInterface(t *testing.T) {
	o := newOffice(t, 1, 2)
	o.mustAttach("vale0:v0")
	p := open(t, o.e, "vale0:p", request(64))
	far := o.far(0)

	p.tx[0].put(t, frame("out 1"), frame("out 2"))
	p.TxSync()
	far.tx[0].put(t, frame("in 1"), frame("in 2"))
	far.TxSync()
	var got []string
	for end := time.Now().Add(5 * time.Second); len(got) < 4 &&
		time.Now().Before(end); time.Sleep(time.Millisecond) {
		p.RxSync()
		far.RxSync()
		got = append(got, p.rx[0].take()...)
		for _, r := range far.rx {
			got = append(got, r.take()...)
		}
	}
	for _, want := range []string{"out 1", "out 2", "in 1", "in 2"} {
		if n := strings.Count(strings.Join(got, "|"), want); n != 1 {
			t.Errorf("%q arrived %d times: %q", want, n, got)
		}
	}
}

func TestAttachErrors(t *testing.T) {
	o := newOffice(t, 3, 1)
	o.mustAttach("vale0:v0")
	b, err := o.open("v1")
	testutil.Require(t, "AF_XDP", err)
	defer b.Close()
	defer open(t, o.e, "vale0:p", request(8)).Close()
	for _, c := range []struct {
		what, name string
		change     func(*abi.Register)
		want       syscall.Errno
	}{
		{"no vale prefix", "v2", nil, syscall.EINVAL},
		{"unknown memory", "vale0:v2", memID(7), syscall.EINVAL},
		{"an attached interface", "vale0:v0", nil, syscall.EBUSY},
		{"the name of a port", "vale0:p", nil, syscall.EBUSY},
		{"no interface", "vale0:none", nil, syscall.EINVAL},
		{"no name", "vale0:", nil, syscall.EINVAL},
		{"a pipe", "vale0:x{1", nil, syscall.EINVAL},
		{"a switch without port", "vale0", nil, syscall.ENOMEM},
		{"a bad switch", "vale-0:v2", nil, syscall.ENOMEM},
		{"an open interface", "vale0:v1", nil, syscall.EBUSY},
		{"an interface on another switch", "vale1:v0", nil, syscall.EBUSY},
		{"one ring", "vale0:v2", ring(0), syscall.EINVAL},
		{"a ring number", "vale0:v2", func(r *abi.Register) { r.RingID = 1 }, syscall.EINVAL},
		{"host rings alone", "vale0:v2", mode(abi.RegSW), syscall.EINVAL},
		{"our memory", "vale1:v2", memID(1), 0},
	} {
		change := []func(*abi.Register){c.change}
		if c.change == nil {
			change = nil
		}
		_, err := o.attach(c.name, change...)
		wantErrno(t, c.what, err, c.want)
	}
	for _, c := range []struct {
		what, name string
		want       syscall.Errno
	}{
		{"no vale prefix", "v0", syscall.EINVAL},
		{"no such switch", "vale9:v0", syscall.ENXIO},
		{"no such port", "vale0:v2", syscall.ENXIO},
		{"a bad name", "vale0", syscall.ENXIO},
		{"an open port", "vale0:p", syscall.EBUSY},
		{"an attached interface", "vale1:v2", 0},
		{"one that is detached", "vale1:v2", syscall.ENXIO},
	} {
		_, err := o.e.Detach(engine.Here, c.name)
		wantErrno(t, "detach "+c.what, err, c.want)
	}
	for name, want := range map[string]syscall.Errno{"v0": syscall.EBUSY, "vale0:v0": syscall.EBUSY,
		"vale0:v2": syscall.EINVAL, "vale1:v0": syscall.EINVAL} {
		_, err := o.open(name)
		wantErrno(t, "open "+name, err, want)
	}
	if got := fmt.Sprint(o.e.ValePorts()); got != "[{vale0:v0 0 0} {vale0:p 0 1}]" {
		t.Errorf("ports %v", got)
	}
}

// A detached interface can be opened again, and the switch ends with its last port.
func TestAttachAndDetach(t *testing.T) {
	o := newOffice(t, 2, 1)
	for range 5 {
		o.mustAttach("vale0:v0")
		o.mustAttach("vale0:v1")
		if lost := o.ping(0, "10.0.0.2", 3); lost > 0 {
			t.Fatalf("%d of 3 lost", lost)
		}
		for i := range 2 {
			if index, err := o.e.Detach(engine.Here, fmt.Sprint("vale0:v", i)); err != nil || index != i {
				t.Fatalf("detach: index %d, %v", index, err)
			}
		}
		if ports := o.e.ValePorts(); len(ports) > 0 {
			t.Fatalf("left behind: %v", ports)
		}
		b, err := o.open("v0")
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		if u := o.e.Region().Usage(); !u.Full() {
			t.Fatalf("left behind: %+v", u)
		}
	}
}

// A switch whose cable is pulled works again when the cable is back.
func TestAttachedInterfaceGoesDown(t *testing.T) {
	o := newOffice(t, 2, 1)
	o.mustAttach("vale0:v0")
	o.mustAttach("vale0:v1")
	set := func(f func(netlink.Link) error) {
		o.ns.Do(func() {
			l, err := netlink.LinkByName("v1")
			if err == nil {
				err = f(l)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	set(netlink.LinkSetDown)
	if o.ping(0, "10.0.0.2", 1) == 0 {
		t.Error("frames pass an interface that is down")
	}
	set(netlink.LinkSetUp)
	for end := time.Now().Add(5 * time.Second); o.ping(0, "10.0.0.2", 1) > 0; {
		if time.Now().After(end) {
			t.Fatal("nothing passes after the interface is up again")
		}
	}
}

// Frames through an attached interface allocate nothing, whichever goroutine moves them.
func TestNothingAllocatesBehindAnInterface(t *testing.T) {
	o := newOffice(t, 1, 1)
	o.mustAttach("vale0:v0")
	p := open(t, o.e, "vale0:p", request(256))
	var b *engine.Binding
	var err error
	o.hosts[0].Do(func() { b, err = o.e.Register("eth0", request(0)) })
	testutil.Require(t, "AF_XDP", err)
	defer b.Close()
	far, text := see(b), frame("to and fro")
	send := func(from, to *program) {
		for range 50 {
			from.tx[0].put(t, text)
		}
		from.TxSync()
		for got, end := 0, time.Now().Add(5*time.Second); got < 50; {
			to.RxSync()
			n := to.rx[0].mine()
			got += n
			to.rx[0].move(to.rx[0].Tail.Load())
			if time.Now().After(end) {
				t.Fatalf("%d of 50 frames arrived", got)
			}
		}
		to.RxSync()
		from.TxSync()
	}
	send(p, far)
	send(far, p)
	if n := testing.AllocsPerRun(100, func() {
		send(p, far)
		send(far, p)
	}); n > 20 { // the interfaces' watchers look for news once a second, and allocate
		t.Errorf("%v allocations for 100 frames", n)
	}
}

// A program that has the region mapped writes invalid words into all rings, also into those of
// attached interfaces. Frames may be lost, but nothing else happens.
func TestHostileNeighboursOfAttachedInterfaces(t *testing.T) {
	o := newOffice(t, 2, 2)
	region := o.e.Region()
	info := region.Info().Ring
	// A mapping of our own, as another process has it.
	mine, err := unix.Mmap(region.FD(), 0, int(region.Size()), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	rings := mine[info.Offset : info.Offset+12*uint64(info.ObjSize)]
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var quiet sync.Mutex // while the test itself looks at a ring's head
	calm := sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
		unix.Munmap(mine)
	})
	defer calm()
	wg.Go(func() {
		rnd := rand.New(rand.NewPCG(1, 1))
		for {
			select {
			case <-stop:
				return
			default:
			}
			quiet.Lock()
			for range 100 {
				at := rnd.IntN(len(rings)/8) * 8
				value := rnd.Uint64() >> rnd.IntN(64)
				if rnd.IntN(2) == 0 {
					value = uint64(rnd.IntN(40000)) | uint64(rnd.IntN(2000))<<32 | uint64(rnd.IntN(256))<<48
				}
				binary.NativeEndian.PutUint64(rings[at:], value)
			}
			quiet.Unlock()
			time.Sleep(50 * time.Microsecond)
		}
	})
	for round := range 3 {
		for i := range 2 {
			o.mustAttach(fmt.Sprint("vale0:v", i))
		}
		quiet.Lock()
		p := open(t, o.e, "vale0:p", request(64))
		quiet.Unlock()
		for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
			for range 20 {
				s := p.tx[0].slots[p.tx[0].Head.Load()%64]
				copy(region.Bufs.Bytes(s.BufIdx), frame("out"))
				p.tx[0].move((p.tx[0].Head.Load() + 1) % 64)
			}
			p.TxSync()
			p.RxSync()
			p.rx[0].move(p.rx[0].Tail.Load() % 64)
			time.Sleep(100 * time.Microsecond)
		}
		p.Close()
		for i := range 2 {
			if _, err := o.e.Detach(engine.Here, fmt.Sprint("vale0:v", i)); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
	}
	calm()
	if u := region.Usage(); !u.Full() {
		t.Errorf("not everything came back to the pools: %+v", u)
	}
}

// An interface is attached with its host stack. The host still reaches the network: through the
// switch, on which the host stack is a port of its own.
func TestAttachWithHostStack(t *testing.T) {
	o := newOffice(t, 2, 1)
	o.ns.AddAddr(t, "v0", "10.0.0.9/24")
	for _, h := range o.hosts {
		h.Offloads(t, "eth0", "tx", "off")
	}
	if lost := o.ns.Ping(t, "10.0.0.1", 3, 100, 0); lost > 0 {
		t.Fatalf("before: %d of 3 lost", lost)
	}
	index, err := o.attach("vale0:v0", mode(abi.RegNICSW))
	testutil.Require(t, "AF_XDP and TCX", err)
	o.mustAttach("vale0:v1")
	if got := fmt.Sprint(index,
		o.e.ValePorts()); got != "0 [{vale0:v0 0 0} {vale0:v0^ 0 1} {vale0:v1 0 2}]" {
		t.Errorf("ports %v", got)
	}
	for i, h := range o.hosts {
		if lost := o.ns.Ping(t, fmt.Sprintf("10.0.0.%d", i+1), 200, 1400, time.Millisecond); lost > 0 {
			t.Errorf("%d of 200 lost to host %d", lost, i+1)
		}
		o.ns.Transfer(t, h, fmt.Sprintf("10.0.0.%d", i+1), 4<<20, 20*time.Second)
		h.Transfer(t, o.ns, "10.0.0.9", 4<<20, 20*time.Second)
	}
	if lost := o.ping(0, "10.0.0.2", 20); lost > 0 {
		t.Errorf("%d of 20 lost from interface to interface", lost)
	}

	for _, name := range []string{"vale0:v0^", "vale0:v0"} {
		_, err := o.open(name)
		wantErrno(t, "open "+name, err, syscall.EBUSY)
	}
	_, err = o.e.Detach(engine.Here, "vale0:v0^")
	wantErrno(t, "detach the host stack", err, syscall.EBUSY)
	_, err = o.e.Detach(engine.Here, "vale0:v0")
	wantErrno(t, "detach", err, 0)
	if got := fmt.Sprint(o.e.ValePorts()); got != "[{vale0:v1 0 2}]" {
		t.Errorf("ports %v", got)
	}
	if lost := o.ns.Ping(t, "10.0.0.1", 3, 100, 0); lost > 0 {
		t.Errorf("after: %d of 3 lost", lost)
	}
	_, err = o.attach("vale0:v0", mode(abi.RegNICSW))
	wantErrno(t, "attach again", err, 0)
}

// Without its host stack an attached interface does nothing for its host.
func TestAttachWithoutHostStack(t *testing.T) {
	o := newOffice(t, 1, 1)
	o.ns.AddAddr(t, "v0", "10.0.0.9/24")
	o.mustAttach("vale0:v0")
	if lost := o.ns.Ping(t, "10.0.0.1", 2, 100, 0); lost != 2 {
		t.Errorf("the host's frames reach the wire: %d of 2 lost", lost)
	}
}
