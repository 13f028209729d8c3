package cli

import (
	"bytes"
	"testing"
)

func TestBar(t *testing.T) {
	var b bytes.Buffer
	narrow := &Bar{&b, func() int { return 20 }}
	narrow.Draw(0.5)
	if got, want := b.String(), "\r[=====      ]  50 %"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	b.Reset()
	(&Bar{&b, func() int { return 0 }}).Draw(0.5)
	if b.Len() > 0 {
		t.Errorf("a terminal without width shows %q", b.String())
	}
}
