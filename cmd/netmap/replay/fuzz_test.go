package replay

import (
	"bytes"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/capfile"
)

// FuzzFile reads arbitrary files. Reading ends, and all frames lie inside their chunks.
func FuzzFile(f *testing.F) {
	for _, format := range []capfile.Format{capfile.Pcapng, capfile.Pcap} {
		whole := makeFile(format, 12)
		f.Add(whole)
		f.Add(whole[:len(whole)-30])
		f.Add(whole[:100])
	}
	f.Add(mixed(3))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := capfile.NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		feed := newFeed("fuzz", 0, 1)
		go feed.run(t.Context(), s)
		for c := range feed.full {
			for i := range c.packets {
				if n := len(c.frame(&c.packets[i])); n == 0 || n > capfile.MaxSnap {
					t.Fatalf("a frame of %d bytes", n)
				}
			}
			feed.done(c)
		}
	})
}
