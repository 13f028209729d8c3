package capfile

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

// FuzzReader reads arbitrary files. Reading ends, frames can be sent, and the size of the reads
// makes no difference.
func FuzzReader(f *testing.F) {
	for _, s := range append(pcapSamples(), pcapngSamples()...) {
		if len(s.file) < 1<<16 {
			f.Add(s.file)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		want, wantErr := readAll(t, bytes.NewReader(b))
		got, err := readAll(t, iotest.HalfReader(bytes.NewReader(b)))
		if len(got) != len(want) || err != wantErr {
			t.Fatalf("in pieces %d frames and %s; at once %d and %s", len(got), err, len(want), wantErr)
		}
		for i, p := range got {
			w := want[i]
			if !bytes.Equal(p.Data, w.Data) || p.Length != w.Length || p.Time != w.Time {
				t.Fatalf("in pieces %+v, at once %+v", p, w)
			}
		}
	})
}

// readAll reads a file, and checks what replay relies on for each frame.
func readAll(t *testing.T, from io.Reader) (all []Packet, text string) {
	t.Helper()
	r, err := NewReader(from)
	for err == nil {
		var p Packet
		if p, err = r.Next(); err != nil || !p.IsEthernet() {
			continue
		}
		const far = 1 << 62
		if len(p.Data) > MaxSnap || p.Length < len(p.Data) || p.Time > far || p.Time < -far ||
			r.Buffered() < 0 {
			t.Fatalf("%d of %d bytes at %d, %d are buffered", len(p.Data), p.Length, p.Time, r.Buffered())
		}
		p.Data = bytes.Clone(p.Data)
		all = append(all, p)
	}
	return all, err.Error()
}
