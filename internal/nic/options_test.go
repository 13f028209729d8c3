//go:build linux

package nic_test

import (
	"errors"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/embed"
)

// Frames start inside their buffers at both ends, or at one.
func TestOffsets(t *testing.T) {
	for _, tt := range []struct {
		name   string
		at, to int
	}{{"sender", 64, 0}, {"receiver", 0, 64}, {"both", 17, 512}} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, 1)
			open := map[bool]func(int) []netmap.Option{
				true:  func(n int) []netmap.Option { return []netmap.Option{netmap.Offsets(n, n)} },
				false: func(int) []netmap.Option { return nil }}
			a := p.open(p.na, "netmap:va", open[tt.at > 0](tt.at)...)
			b := p.open(p.nb, "netmap:vb", open[tt.to > 0](tt.to)...)
			pump(t, a, b, 5000, 60, 61, 1514, 64, 1000)
			pump(t, b, a, 5000, 60, 1514)
			for port, want := range map[*netmap.Port]int{a: tt.at, b: tt.to} {
				for _, r := range []*netmap.Ring{port.Tx()[0], port.Rx()[0]} {
					if got := r.Offset(r.Slot(r.Head())); got != want {
						t.Errorf("%v: frames start at %d, want %d", port, got, want)
					}
				}
			}
		})
	}
}

// Monitors of an interface show frames that start inside their buffers.
func TestOffsetsMonitored(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va", netmap.Offsets(100, 100)),
		p.open(p.nb, "netmap:vb", netmap.Offsets(300, 300))
	for port, name := range map[*netmap.Port]string{a: "netmap:va/t", b: "netmap:vb/r"} {
		ns := p.na
		if port == b {
			ns = p.nb
		}
		m := p.open(ns, name)
		pump(t, a, b, 100, 60, 1514)
		got := 0
		if err := m.RxSync(); err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Rx()[0].Frames() {
			if len(f) > 18 && f[12] == 0x88 && string(f[18:]) != string(frame(int(f[17]), len(f))[18:]) {
				t.Fatalf("%s: a frame of %d bytes is wrong", name, len(f))
			}
			got++
		}
		if got < 100 {
			t.Errorf("%s sees %d frames, want 100", name, got)
		}
		m.Close()
	}
}

// Whatever a hostile program writes into its slots, no frame leaves its buffer.
func TestOffsetsOutOfBounds(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va", netmap.Offsets(500, 0)), p.open(p.nb, "netmap:vb",
		netmap.Offsets(500, 0))
	for _, port := range []*netmap.Port{a, b} {
		for _, r := range []*netmap.Ring{port.Tx()[0], port.Rx()[0]} {
			for i := range uint32(r.NumSlots()) {
				r.Slot(i).Ptr = ^uint64(0) - uint64(i)
			}
		}
	}
	for range 2000 {
		w := a.Tx()[0].Window()
		for ; w.Len() > 0; w.Next() {
			w.Slot().Len = uint16(14 + w.Index()*3)
		}
		w.Commit()
		if err := errors.Join(a.TxSync(), b.RxSync()); err != nil {
			t.Fatal(err)
		}
		b.Rx()[0].Advance(b.Rx()[0].Len())
	}
	for _, port := range []*netmap.Port{a, b} {
		for _, r := range []*netmap.Ring{port.Tx()[0], port.Rx()[0]} {
			for i := range uint32(r.NumSlots()) {
				r.Slot(i).Ptr = 8
			}
		}
	}
	for b.Rx()[0].Len() > 0 {
		b.Rx()[0].Advance(b.Rx()[0].Len())
		b.RxSync()
	}
	pump(t, a, b, 1000, 60, 1514)
}

func TestOffsetsLeaveRoomForFrames(t *testing.T) {
	p := newPair(t, 1)
	p.na.Do(func() {
		if _, err := p.f.Open("netmap:va", netmap.Offsets(embed.DefaultBufSize-1518+1,
			0)); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("offsets that leave no room for frames: %v, want %v", err, syscall.EINVAL)
		}
	})
	p.open(p.na, "netmap:va", netmap.Offsets(embed.DefaultBufSize-1518, 0))
}

// One interface is in the program's own memory, and one in the framework's.
func TestExternalMemory(t *testing.T) {
	p := newPair(t, 1)
	m, err := unix.Mmap(-1, 0, 8<<20, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	pools := abi.PoolsInfo{Buf: abi.PoolInfo{ObjTotal: 3000, ObjSize: 2048}}
	for range 3 {
		a, b := p.open(p.na, "netmap:va", netmap.ExternalMemory(m, pools)), p.open(p.nb, "netmap:vb")
		if a.SameRegion(b) {
			t.Fatal("both are in the same memory")
		}
		pump(t, a, b, 5000, 60, 61, 1514, 64, 1000)
		pump(t, b, a, 5000, 60, 1514)
		a.Close()
		b.Close()
	}
}

// A slot's ptr holds either an offset or a time stamp. In a region with time stamps, a port that
// asks for offsets gets offsets.
func TestOffsetsOrTimestamps(t *testing.T) {
	p := newStampPair(t)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb", netmap.Offsets(64, 64))
	pump(t, a, b, 1000, 60, 1514)
	stamps := p.open(p.na, "netmap:va", netmap.RxTimestamps())
	for what, try := range map[string]func() (*netmap.Port, error){
		"both at once": func() (*netmap.Port, error) {
			return p.f.Open("netmap:va", netmap.RxTimestamps(), netmap.Offsets(8, 8))
		},
		"offsets beside stamps": func() (*netmap.Port, error) {
			return p.f.Open("netmap:va",
				netmap.Offsets(8, 8))
		},
		"neither, beside stamps": func() (*netmap.Port, error) { return p.f.Open("netmap:va") },
	} {
		p.na.Do(func() {
			port, err := try()
			if want := map[bool]error{true: syscall.EBUSY}[what != "neither, beside stamps"]; !errors.Is(err,
				want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
			if err == nil {
				port.Close()
			}
		})
	}
	stamps.Close()
	p.nb.Do(func() {
		if _, err := p.f.Open("netmap:vb", netmap.RxTimestamps()); !errors.Is(err, syscall.EBUSY) {
			t.Errorf("stamps beside offsets: %v, want %v", err, syscall.EBUSY)
		}
	})
	a.Close()
	b.Close()
}
