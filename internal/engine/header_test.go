package engine_test

import (
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
)

func TestHeaderRequests(t *testing.T) {
	o := newOffice(t, 1, 1)
	o.mustNewIf("p0")
	o.mustAttach("vale0:v0")
	defer open(t, o.e, "vale0:a", request(8)).Close()
	defer open(t, o.e, "x{1", request(8)).Close()
	for _, c := range []struct {
		name   string
		length uint32
		want   syscall.Errno
	}{
		{"vale0:a", 11, syscall.EINVAL},
		{"vale0:none", 11, syscall.EINVAL},
		{"vale0:none", 12, syscall.ENXIO},
		{"vale9:a", 12, syscall.ENXIO},
		{"x{1", 10, syscall.ENXIO},
		{"p0", 10, syscall.ENXIO},
		{"", 10, syscall.ENXIO},
		{"vale0:v0", 10, syscall.EOPNOTSUPP},
		{"vale0:v0", 0, 0},
		{"vale0:a", 12, 0},
		{"vale0:a", 10, 0},
	} {
		wantErrno(t, c.name, o.e.SetHeader(c.name, c.length), c.want)
	}
	for _, c := range []struct {
		name   string
		length uint32
		want   syscall.Errno
	}{
		{"vale0:a", 10, 0}, {"vale0:v0", 0, 0}, {"x{1", 0, 0}, {"p0", 0, 0}, {"lo", 0, 0}, {"v0", 0, 0},
		{"vale0:none", 0, syscall.ENXIO}, {"none", 0, syscall.ENXIO}, {"x{2", 0, syscall.ENODEV},
		{"", 0, syscall.ENXIO},
	} {
		o.ns.Do(func() {
			length, err := o.e.Header(engine.Here, c.name)
			if wantErrno(t, c.name, err, c.want); length != c.length {
				t.Errorf("%s: %d bytes, want %d", c.name, length, c.length)
			}
		})
	}
	_, err := o.e.Register("vale0:a", request(8))
	wantErrno(t, "open without knowing of headers", err, syscall.EIO)
	b, err := o.e.Register("vale0:a", request(8, flags(abi.NRAcceptVnetHdr)))
	wantErrno(t, "open with headers", err, 0)
	if err == nil {
		b.Close()
	}
}

// A binding knows the header length of its own port, whatever the port's name is. A monitor has the
// length of its parent, whose frames it shows, even after the parent is closed.
func TestHeaderOfABinding(t *testing.T) {
	e := newEngine(t)
	if err := e.SetHeader("vale0:a", 12); err == nil {
		t.Error("a port that is not there has a header")
	}
	headers := flags(abi.NRAcceptVnetHdr)
	vale := open(t, e, "vale0:a", request(8, headers))
	if err := vale.SetHeader(12); err != nil {
		t.Fatal(err)
	}
	pipe := open(t, e, "x}1", request(8))
	watched := open(t, e, "vale0:a", request(8, headers, flags(abi.NRMonitorRx)))
	other := open(t, e, "x}1", request(8, flags(abi.NRMonitorTx)))
	want := func(what string, b *program, length uint32) {
		t.Helper()
		if got, err := b.Header(); err != nil || got != length {
			t.Errorf("%s: %d bytes, error %v; want %d", what, got, err, length)
		}
	}
	want("a port of a switch", vale, 12)
	want("its monitor", watched, 12)
	want("a pipe", pipe, 0)
	want("its monitor", other, 0)
	wantErrno(t, "set the header of a monitor", watched.SetHeader(0), syscall.ENXIO)
	vale.Close()
	pipe.Close()
	want("the monitor of a port that is closed", watched, 12)
	want("that of a pipe", other, 0)
}

// A program with headers exchanges frames with a host without headers: the switch does what the
// headers ask for.
func TestHeadersTowardsAnInterface(t *testing.T) {
	o := newOffice(t, 1, 1)
	o.mustAttach("vale0:v0")
	p := open(t, o.e, "vale0:p", request(64))
	if err := o.e.SetHeader("vale0:p", 12); err != nil {
		t.Fatal(err)
	}
	// Large enough to be split; the host answers echo requests only when their checksum is right, so
	// the sum is left to the switch.
	echo := make([]byte, 1000)
	echo[0], echo[5] = 8, 7
	ip := make([]byte, 20)
	copy(ip, []byte{0x45, 0, 0x03, 0xfc, 0, 1, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1})
	sum := ^internetSum(ip)
	ip[10], ip[11] = byte(sum>>8), byte(sum)
	header := []byte{1, 0, 0, 0, 0, 0, 34, 0, 2, 0, 0, 0}
	arp := "\x00\x01\x08\x00\x06\x04\x00\x02" +
		"\x02\x00\x00\x00\x00\x09\x0a\x00\x00\x09\xff\xff\xff\xff\xff\xff\x0a\x00\x00\x01"
	none := string(make([]byte, 12))
	from := "\x02\x00\x00\x00\x00\x09"
	all := "\xff\xff\xff\xff\xff\xff"
	p.tx[0].put(t, none+all+from+"\x08\x06"+arp+string(make([]byte, 18)))
	p.tx[0].put(t, none+all+from+"\x08\x06"+
		"\x00\x01\x08\x00\x06\x04\x00\x01\x02\x00\x00\x00\x00\x09"+
		"\x0a\x00\x00\x09\x00\x00\x00\x00\x00\x00\x0a\x00\x00\x01"+string(make([]byte, 18)))
	p.TxSync()
	reply := receive(t, p, func(f string) bool {
		return len(f) > 12+22 &&
			f[12+12:12+14] == "\x08\x06" && f[12+21] == 2
	})
	host := reply[12+6 : 12+12]
	p.tx[0].put(t, string(header)+host+from+"\x08\x00"+string(ip)+string(echo))
	p.TxSync()
	if f := receive(t, p, func(f string) bool {
		return len(f) == 12+14+20+len(echo) &&
			f[12+34] == 0
	}); f[:12] != none {
		t.Errorf("header %x of a frame from the interface, want zeros", f[:12])
	}
}
