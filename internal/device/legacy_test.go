//go:build linux || freebsd

package device

import (
	"errors"
	"slices"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

func TestLegacyRequest(t *testing.T) {
	for _, tt := range []struct {
		name string
		req  abi.Register
		as   string
		want abi.Nmreq
		err  error
	}{
		{"eth0", abi.Register{Mode: abi.RegAllNIC, MemID: 3, ExtraBufs: 7}, "eth0",
			abi.Nmreq{Flags: 1, Arg2: 3, Arg3: 7}, nil},
		{"eth0", abi.Register{Mode: abi.RegOneNIC, RingID: 2, Flags: abi.NRNoTxPoll | abi.NRExclusive},
			"eth0",
			abi.Nmreq{Flags: 4 | 0x800, RingID: 2 | 0x1000}, nil},
		{"eth0", abi.Register{Mode: abi.RegSW, Flags: abi.NRDoRxPoll}, "eth0",
			abi.Nmreq{Flags: 2, RingID: 0x8000}, nil},
		{"x{12", abi.Register{Mode: abi.RegAllNIC, TxRings: 2}, "x",
			abi.Nmreq{Flags: 5, RingID: 12, TxRings: 2}, nil},
		{"vale0:a}3", abi.Register{Mode: abi.RegAllNIC, Flags: abi.NRMonitorTx}, "vale0:a",
			abi.Nmreq{Flags: 6 | 0x100, RingID: 3}, nil},
		{"x{name", abi.Register{Mode: abi.RegAllNIC}, "x{name", abi.Nmreq{Flags: 1}, nil},
		{"x{5000", abi.Register{Mode: abi.RegAllNIC}, "x{5000", abi.Nmreq{Flags: 1}, nil},
		{"x}1", abi.Register{Mode: abi.RegOneNIC, RingID: 1}, "x}1", abi.Nmreq{Flags: 4, RingID: 1}, nil},
		{"vale0:sixteenchars", abi.Register{Mode: abi.RegAllNIC}, "", abi.Nmreq{}, syscall.ENAMETOOLONG},
	} {
		got, err := legacyRequest(tt.name, &tt.req)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.err)
		}
		if tt.err != nil {
			continue
		}
		tt.want.Version = 11
		copy(tt.want.Name[:], tt.as)
		if got != tt.want {
			t.Errorf("%s %+v: %+v, want %+v", tt.name, tt.req, got, tt.want)
		}
	}
}

// TestLegacyRings tests that the requested rings are found. An old kernel lists all rings, and does
// not count host rings.
func TestLegacyRings(t *testing.T) {
	const at, tx, rx = 64, 3, 2
	m := abi.Bytes(new([128]uint64)) // aligned
	f := shm.At[abi.If](m, at)
	f.TxRings, f.RxRings = tx, rx
	for i := range tx + 1 + rx + 1 {
		// tx rings at 1064 to 3064, their host ring at 4064, rx rings from 5064
		shm.Slice[int64](m, at+abi.IfSize, 8)[i] = int64(1000 * (i + 1))
	}
	for _, tt := range []struct {
		mode   uint32
		ring   uint16
		flags  uint64
		tx, rx []uint64
	}{
		{abi.RegAllNIC, 0, 0, []uint64{1064, 2064, 3064}, []uint64{5064, 6064}},
		{abi.RegSW, 0, 0, []uint64{4064}, []uint64{7064}},
		{abi.RegNICSW, 0, 0, []uint64{1064, 2064, 3064, 4064}, []uint64{5064, 6064, 7064}},
		{abi.RegOneNIC, 1, 0, []uint64{2064}, []uint64{6064}},
		{abi.RegOneNIC, 2, 0, []uint64{3064}, []uint64{5064}},
		{abi.RegAllNIC, 0, abi.NRRxRingsOnly, nil, []uint64{5064, 6064}},
		{abi.RegOneNIC, 0, abi.NRTxRingsOnly, []uint64{1064}, nil},
	} {
		d := &Port{legacy: true, answer: abi.Register{Offset: at, Mode: tt.mode,
			RingID: tt.ring, Flags: tt.flags}}
		gotTx, gotRx := d.Rings(m)
		if !slices.Equal(gotTx, tt.tx) || !slices.Equal(gotRx, tt.rx) {
			t.Errorf("mode %d, ring %d, flags %#x: %v and %v, want %v and %v", tt.mode, tt.ring, tt.flags,
				gotTx, gotRx, tt.tx, tt.rx)
		}
	}
}
