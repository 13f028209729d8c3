//go:build linux

package nic

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// A frame that cannot take several buffers must fit into one. The error says what size would do.
func TestFits(t *testing.T) {
	for _, tt := range []struct {
		mtu    int
		stride uint32
		multi  bool
		want   string // in the error; "" for success
	}{
		{1500, 2048, false, ""},
		{2030, 2048, false, ""},
		{2031, 2048, false, "--buffer-size 4096"},
		{2031, 2048, false, "mtu 2030"},
		{2031, 2048, false, "MTU is 2031, a buffer of 2048"},
		{3822, 4096, false, ""},
		{3823, 4096, false, "mtu 3822"},
		{9000, 2048, false, "lower the MTU"},
		{9000, 2048, true, ""},
	} {
		p := &Port{name: "eth9", link: linkInfo{mtu: tt.mtu}, memory: xsk.Memory{Stride: tt.stride}}
		err := p.fits(tt.multi, xsk.Native)
		if (err == nil) != (tt.want == "") || err != nil && (!errors.Is(err, syscall.EINVAL) ||
			!strings.Contains(err.Error(), tt.want)) {
			t.Errorf("MTU %d, buffers of %d: %v, want %q", tt.mtu, tt.stride, err, tt.want)
		}
		if err != nil && tt.mtu > 3822 && strings.Contains(err.Error(), "--buffer-size") {
			t.Errorf("MTU %d: %v names buffers that are too small as well", tt.mtu, err)
		}
	}
}

// Cards that count a buffer's room in KiB cut longer frames in two. If whole KiB of a buffer do not
// hold a frame, zero-copy is refused.
func TestFitsKilobytes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		link   linkInfo
		memory xsk.Memory
		mode   xsk.Mode
		fits   bool
	}{
		{"all of a buffer", linkInfo{mtu: 1500, kilobytes: true}, xsk.Memory{Stride: 2048}, xsk.ZeroCopy,
			true},
		{"less, for time stamps", linkInfo{mtu: 1500, kilobytes: true},
			xsk.Memory{Stride: 2048, Spare: 64}, xsk.ZeroCopy, false},
		{"by a driver that counts bytes", linkInfo{mtu: 1500}, xsk.Memory{Stride: 2048, Spare: 64},
			xsk.ZeroCopy, true},
		{"copied", linkInfo{mtu: 1500, kilobytes: true}, xsk.Memory{Stride: 2048, Spare: 64}, xsk.Native,
			true},
		{"short frames", linkInfo{mtu: 1000, kilobytes: true}, xsk.Memory{Stride: 2048, Spare: 64},
			xsk.ZeroCopy, true},
		{"larger buffers", linkInfo{mtu: 3000, kilobytes: true}, xsk.Memory{Stride: 4096}, xsk.ZeroCopy,
			true},
		{"not large enough", linkInfo{mtu: 3060, kilobytes: true}, xsk.Memory{Stride: 4096}, xsk.ZeroCopy,
			false},
	} {
		p := &Port{name: "eth9", link: tt.link, memory: tt.memory}
		if err := p.fits(false, tt.mode); (err == nil) != tt.fits {
			t.Errorf("%s: %v, want that it fits: %v", tt.name, err, tt.fits)
		}
	}
}
