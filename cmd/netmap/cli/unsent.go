package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// Unsent counts, by reason, the frames that a port accepted but could not send, since NewUnsent.
// Reading it is too slow for the hot path.
type Unsent struct {
	read func() map[string]uint64
	base map[string]uint64
	last map[string]uint64
}

// unsent are the reasons why an interface does not send a frame, with their texts.
var unsent = []struct {
	why  kring.Reason
	text string
}{
	{kring.TooLongForMTU, "longer than the interface's MTU"},
	{kring.RefusedByDevice, "refused by the device"},
	{kring.TooShort, "too short for Ethernet"},
	{kring.TooManyFrags, "in more slots than can be sent"},
	{kring.LinkError, "refused by the host"},
}

// NewUnsent starts counting for an open port. If the port is on a device, its daemon has the
// counts, which include frames of other programs. Nothing is counted if the daemon cannot be
// reached, or the port is not an interface.
func NewUnsent(p *netmap.Port) *Unsent {
	u := &Unsent{read: func() map[string]uint64 { return nil }}
	if !IsSoftware(p.Name()) {
		u.read = func() map[string]uint64 { d, _ := Drops(p); return d.Tx }
	}
	u.base = u.read()
	return u
}

// Drops is netmap.Port.Drops with a timeout of a second.
func Drops(p *netmap.Port) (netmap.Drops, error) {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	return p.Drops(ctx)
}

// Read returns the counts so far. If the daemon does not answer any more, they are the last ones.
func (u *Unsent) Read() map[string]uint64 {
	now := u.read()
	for _, r := range unsent {
		why := r.why.String()
		if n := now[why]; n > u.base[why] {
			if u.last == nil {
				u.last = map[string]uint64{}
			}
			u.last[why] = n - u.base[why]
		}
	}
	return u.last
}

// SumDrops is the sum of counts.
func SumDrops(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// Sent subtracts the frames that a port could not send from the frames and bytes that it accepted.
// The length of unsent frames is not known: they count as frames of average length.
func Sent(frames, bytes uint64, unsent map[string]uint64) (sentFrames, sentBytes uint64) {
	n := min(SumDrops(unsent), frames)
	if n == 0 {
		return frames, bytes
	}
	return frames - n, uint64(float64(bytes) / float64(frames) * float64(frames-n))
}

// DescribeUnsent describes how many frames were not sent, and why: "2 frames not sent: 2 longer
// than the interface's MTU". It is empty if there are none.
func DescribeUnsent(counts map[string]uint64) string {
	var parts []string
	for _, r := range unsent {
		if n := counts[r.why.String()]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, r.text))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return Count(SumDrops(counts), "frame") + " not sent: " + strings.Join(parts, ", ")
}
