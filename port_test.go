//go:build linux

package netmap_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
)

// nonsense is a framework with an arbitrary answer.
type nonsense struct {
	answer abi.Register
	memory []byte
}

func (n nonsense) Register() abi.Register { return n.answer }
func (n nonsense) Memory() []byte         { return n.memory }
func (nonsense) TxSync() error            { return nil }
func (nonsense) RxSync() error            { return nil }
func (nonsense) Close() error             { return nil }
func (nonsense) Wait(context.Context, int16, time.Duration) (int16, error) {
	return 0, nil
}

// TestNewPortDoesNotTrustTheAnswer tests that an invalid answer is an error, and does not panic.
func TestNewPortDoesNotTrustTheAnswer(t *testing.T) {
	for _, c := range []struct {
		what   string
		offset uint64
		size   int
	}{
		{"no memory", 0, 0},
		{"too little memory", 0, abi.IfSize - 1},
		{"offset at the end", 4096, 4096},
		{"offset behind the end", 1 << 62, 4096},
		{"offset that overflows", 1<<64 - 8, 4096},
		{"offset that is not aligned", 3, 4096},
	} {
		_, err := netmap.NewPort("x", nonsense{abi.Register{Offset: c.offset}, make([]byte, c.size)})
		if !errors.Is(err, syscall.EPROTO) {
			t.Errorf("%s: error %v, want EPROTO", c.what, err)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		m := make([]byte, 4096)
		for i := range m {
			if rnd.IntN(4) == 0 {
				m[i] = byte(rnd.Uint32N(6))
			}
		}
		p, err := netmap.NewPort("x", nonsense{abi.Register{Offset: 8 * rnd.Uint64N(512)}, m})
		if err != nil && !errors.Is(err, syscall.EPROTO) {
			t.Errorf("error %v, port %v", err, p)
		}
	}
}

func TestRequest(t *testing.T) {
	got, err := netmap.Request("netmap:eth0-3/R@7", netmap.Exclusive(), netmap.TxOnly(),
		netmap.NoTxPoll(), netmap.Rings(1, 2),
		netmap.Slots(3, 4), netmap.ExtraBufs(5))
	want := abi.Register{Mode: abi.RegOneNIC, RingID: 3, MemID: 7, TxRings: 1, RxRings: 2, TxSlots: 3,
		RxSlots: 4, ExtraBufs: 5,
		Flags: abi.NRRxRingsOnly | abi.NRTxRingsOnly | abi.NRExclusive | abi.NRNoTxPoll}
	if err != nil || got != (netmap.Opening{Port: "eth0", Register: want}) {
		t.Errorf("%+v, error %v; want %+v", got, err, want)
	}
	got, err = netmap.Request("vale0:a", netmap.SyncLoop())
	if want := (abi.Register{Mode: abi.RegAllNIC, Flags: abi.NRExclusive}); err != nil ||
		got != (netmap.Opening{Port: "vale0:a", Register: want, Loop: true}) {
		t.Errorf("with a loop: %+v, error %v", got, err)
	}
	if _, err := netmap.Request("netmap:"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("error %v, want EINVAL", err)
	}
}
