//go:build linux

package pace

import "testing"

func TestWindow(t *testing.T) {
	w := NewWindow(10)
	for _, tt := range []struct {
		released, sent uint64
		want           int
	}{{0, 0, 10}, {0, 7, 3}, {0, 10, 0}, {4, 10, 4}, {10, 10, 10}} {
		w.Release(tt.released)
		if got := w.Room(tt.sent); got != tt.want {
			t.Errorf("room for %d frames after %d sent and %d released, want %d",
				got, tt.sent, tt.released, tt.want)
		}
	}
}
