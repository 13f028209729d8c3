package mem

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// fits reports whether a region has room for two rings of 1024 slots with their buffers.
func fits(t *testing.T, c Config) bool {
	t.Helper()
	c.NoHuge = true
	r, err := New(1, c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for dir := range uint16(2) {
		g, err := r.NewRing("r", 0, dir, 1024)
		if err == nil {
			err = r.FillRing("r", g)
		}
		if err != nil {
			return false
		}
	}
	return true
}

// TestFitsPort tests that the number that the error names is sufficient, and one less is not.
func TestFitsPort(t *testing.T) {
	for _, c := range []Config{
		{Buf: Pool{Num: 10}}, {Buf: Pool{Num: 4}}, {Buf: Pool{Num: 2040}},
		{Buf: Pool{Num: 100, Size: 64}}, {Buf: Pool{Num: 100, Size: 4096}},
		{Buf: Pool{Num: 100, Size: 16384}}, {Buf: Pool{Num: 100, Size: 2112}},
		{Ring: Pool{Num: 2, Size: 1024}}, {Ring: Pool{Num: 32, Size: 1024}},
		{Ring: Pool{Num: 8, Size: 320}},
	} {
		for which, p := range map[string]*Pool{"buffers": &c.Buf, "rings": &c.Ring} {
			if p.Num == 0 {
				continue
			}
			err := c.FitsPort()
			_, after, ok := strings.Cut(fmt.Sprint(err), "want at least ")
			var least uint32
			fmt.Sscan(after, &least)
			if !errors.Is(err, syscall.EINVAL) || !ok || !strings.Contains(err.Error(), "--"+which) {
				t.Fatalf("%+v: %v", c, err)
			}
			if fits(t, c) {
				t.Errorf("%+v is refused, but has room: %v", c, err)
			}
			enough, less := c, c
			set := func(c *Config, n uint32) {
				if c.Buf.Num > 0 {
					c.Buf.Num = n
				} else {
					c.Ring.Num = n
				}
			}
			set(&enough, least)
			set(&less, least-1)
			if err := enough.FitsPort(); err != nil || !fits(t, enough) {
				t.Errorf("%+v has no room: %v", enough, err)
			}
			if less.FitsPort() == nil || fits(t, less) {
				t.Errorf("%+v is not refused, or has room", less)
			}
		}
	}
	for _, c := range []Config{{}, {Buf: Pool{Num: 4096}}, {If: Pool{Num: 1}},
		{Buf: Pool{Num: 1000000}}} {
		if err := c.FitsPort(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := (Config{Ring: Pool{Num: 1}}).FitsPort(); err == nil ||
		!strings.Contains(err.Error(), "want 2 to 1024") {
		t.Errorf("one ring: %v", err)
	}
}
