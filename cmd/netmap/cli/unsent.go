package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// Unsent counts, by reason, the frames that a port took from its program and could not send, since
// it was made. Asking is not for the hot path.
type Unsent struct {
	read func() map[string]uint64
	base map[string]uint64
	last map[string]uint64
}

// unsent are the reasons why an interface does not send a frame, and how people are told.
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

// NewUnsent starts to count for an open port. Of one that a device has, its daemon is asked, and
// other programs may send through it, too; where the daemon cannot be reached, and where there is
// no interface, nothing is counted.
func NewUnsent(p *netmap.Port) *Unsent {
	u := &Unsent{read: func() map[string]uint64 { return nil }}
	if !IsSoftware(p.Name()) {
		u.read = func() map[string]uint64 { d, _ := Drops(p); return d.Tx }
	}
	u.base = u.read()
	return u
}

// Drops is netmap.Port.Drops that does not take long.
func Drops(p *netmap.Port) (netmap.Drops, error) {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	return p.Drops(ctx)
}

// Read is what was counted until now. Where nobody answers any more, it is what was counted last.
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

// SumDrops is how many frames were counted.
func SumDrops(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// Sent is what is left of the frames and bytes that were handed to a port, without those that it
// could not send. Nobody counts the bytes of these: they are taken to be as long as frames are on
// average.
func Sent(frames, bytes uint64, unsent map[string]uint64) (sentFrames, sentBytes uint64) {
	n := min(SumDrops(unsent), frames)
	if n == 0 {
		return frames, bytes
	}
	return frames - n, uint64(float64(bytes) / float64(frames) * float64(frames-n))
}

// DescribeUnsent says how many frames were not sent, and why: "2 frames not sent: 2 longer than the
// interface's MTU". It is empty for none.
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
