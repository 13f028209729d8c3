//go:build linux

package nic

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// Where a frame cannot take several buffers it has to fit into one, or the error says what does.
func TestFits(t *testing.T) {
	for _, tt := range []struct {
		mtu    int
		stride uint32
		multi  bool
		want   string // in the error; nothing for none
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
		if (err == nil) != (tt.want == "") || err != nil && (!errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("MTU %d, buffers of %d: %v, want %q", tt.mtu, tt.stride, err, tt.want)
		}
		if err != nil && tt.mtu > 3822 && strings.Contains(err.Error(), "--buffer-size") {
			t.Errorf("MTU %d: %v names buffers that are too small as well", tt.mtu, err)
		}
	}
}
