package kring

import "sync/atomic"

// Reason is why a frame was lost.
type Reason int

// The reasons, in the order of the counts in Drops.
const (
	BadBuffer       Reason = iota // the slot has no valid buffer
	BadLength                     // longer than a buffer, or empty
	TooShort                      // shorter than an Ethernet header
	TooManyFrags                  // more than abi.MaxFrags slots in a packet
	NoRoom                        // the receiver's ring was full
	NotOpen                       // the receiver had no rx ring open
	NoReceiver                    // no other port, or the sender's own address
	LinkError                     // the kernel refused the frame
	BadHeader                     // the virtio-net header is invalid
	BadAddress                    // the sender's memory could not be read
	TooLongForMTU                 // longer than the interface may send
	RefusedByDevice               // the device did not accept the frame
	Reasons                       // the number of reasons
)

var reasonNames = [Reasons]string{
	"bad-buffer", "bad-length", "too-short", "too-many-fragments", "no-room", "not-open",
	"no-receiver", "link-error", "bad-header", "bad-address", "too-long-for-mtu",
	"refused-by-device",
}

// String returns the reason's name for users.
func (r Reason) String() string { return reasonNames[r] }

// Drops counts lost frames by reason. Counts are added once for each batch.
type Drops [Reasons]atomic.Uint64

// Add counts n frames.
func (d *Drops) Add(why Reason, n uint64) {
	if n > 0 {
		d[why].Add(n)
	}
}

// Counts returns the counts of the reasons that occurred.
func (d *Drops) Counts() map[string]uint64 {
	m := make(map[string]uint64)
	for i := range d {
		if n := d[i].Load(); n > 0 {
			m[Reason(i).String()] = n
		}
	}
	return m
}
