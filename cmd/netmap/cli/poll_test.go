package cli

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
)

// When the port of a monitor is closed, Await returns no error before the monitor's frames are
// read.
func TestAwaitTroubleAfterFrames(t *testing.T) {
	f := Must(embed.New(embed.Config{Buffers: 8192}))
	defer f.Close()
	port := Must(f.Open("vale0:a"))
	monitor := Must(f.Open("vale0:a/t"))
	port.Tx()[0].Send(make([]byte, 60))
	port.TxSync()
	port.Close()
	if err := Await(t.Context(), monitor, netmap.In, time.Second); err != nil {
		t.Fatal(err)
	}
	frames := 0
	for range monitor.Rx()[0].Frames() {
		frames++
	}
	if err := Await(t.Context(), monitor, netmap.In, time.Second); frames != 1 ||
		!errors.Is(err, syscall.EIO) {
		t.Errorf("%d frames, then %v; want 1, then EIO", frames, err)
	}
}
