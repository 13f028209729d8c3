//go:build linux

package xsk

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestBusyPollOptions checks what the kernel knows of a socket that polls, and of one that does
// not.
func TestBusyPollOptions(t *testing.T) {
	ends, m := newVeth(t, 1), newMemory(t, 256, 2048)
	for _, microseconds := range []int{0, 1, 200, 100000} {
		s := ends[0].open(t, Config{Size: 64, Rx: true, Tx: true, Mode: Native, Memory: m})
		if microseconds > 0 {
			if err := s.preferBusyPoll(microseconds); err != nil {
				t.Fatal(err)
			}
		}
		want := map[string][2]int{"SO_BUSY_POLL": {unix.SO_BUSY_POLL, microseconds}}
		if microseconds > 0 {
			want["SO_PREFER_BUSY_POLL"] = [2]int{unix.SO_PREFER_BUSY_POLL, 1}
		} else {
			want["SO_PREFER_BUSY_POLL"] = [2]int{unix.SO_PREFER_BUSY_POLL, 0}
		}
		for name, w := range want {
			if got, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, w[0]); err != nil || got != w[1] {
				t.Errorf("BusyPoll %d: %s is %d, %v; want %d", microseconds, name, got, err, w[1])
			}
		}
		s.Close()
	}
}
