package cli

import "testing"

// Frames that a port could not send do not count, each with the average length.
func TestSent(t *testing.T) {
	for _, tt := range []struct {
		frames, bytes         uint64
		unsent                map[string]uint64
		wantFrames, wantBytes uint64
	}{
		{0, 0, nil, 0, 0},
		{10, 1000, nil, 10, 1000},
		{10, 1000, map[string]uint64{"too-long-for-mtu": 2, "refused-by-device": 1}, 7, 700},
		{10, 1000, map[string]uint64{"refused-by-device": 10}, 0, 0},
		{10, 1000, map[string]uint64{"refused-by-device": 12}, 0, 0},
		// counts of a port include frames of other programs
		{0, 0, map[string]uint64{"refused-by-device": 1}, 0, 0},
	} {
		frames, bytes := Sent(tt.frames, tt.bytes, tt.unsent)
		if frames != tt.wantFrames || bytes != tt.wantBytes {
			t.Errorf("%d frames, %d bytes, without %v: %d, %d; want %d, %d",
				tt.frames, tt.bytes, tt.unsent, frames, bytes, tt.wantFrames, tt.wantBytes)
		}
	}
}
