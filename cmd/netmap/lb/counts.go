package lb

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// reporter writes the counts of a balancer.
type reporter struct {
	o   *flags
	b   *balancer
	log io.Writer // the system's log; nil to write none
	old map[string]record
}

// record is a line about one pipe, or, without OutputRing, about all pipes. The names are those of
// upstream's lb; some are added.
type record struct {
	Ts          float64 `json:"ts"`
	Interface   string  `json:"interface"`
	OutputRing  *int    `json:"output_ring"`
	Received    *uint64 `json:"packets_received,omitempty"`
	Forwarded   uint64  `json:"packets_forwarded"`
	Dropped     uint64  `json:"packets_dropped"`
	NonIP       *uint64 `json:"non_ip_packets,omitempty"`
	ForwardMbps float64 `json:"data_forward_rate_Mbps"`
	DropMbps    float64 `json:"data_drop_rate_Mbps"`
	ForwardKpps float64 `json:"packet_forward_rate_kpps"`
	DropKpps    float64 `json:"packet_drop_rate_kpps"`
	Waiting     *uint64 `json:"overflow_queue_size,omitempty"`
	Free        *uint64 `json:"free_buffer_slots,omitempty"`
	Full        uint64  `json:"dropped_pipe_full"`
	Revoked     uint64  `json:"dropped_for_newer"`

	bytes, droppedBytes uint64
}

// read returns the counts of a pipe.
func (o *output) read() record {
	full, revoked, waiting := o.n.full.Load(), o.n.revoked.Load(), o.n.waiting.Load()
	return record{Interface: o.name, Forwarded: o.n.frames.Load(), Dropped: full + revoked, Full: full,
		Revoked: revoked,
		Waiting: &waiting, bytes: o.n.bytes.Load(), droppedBytes: o.n.droppedBytes.Load()}
}

// total returns the sums over all pipes, and the counts of the input.
func (r *reporter) total() record {
	received, nonIP, free := r.b.received.Load(), r.b.nonIP.Load(), r.b.unused.Load()
	t := record{Interface: r.o.port, Received: &received, NonIP: &nonIP, Free: &free}
	for _, o := range r.b.outputs {
		n := o.read()
		t.Forwarded += n.Forwarded
		t.Dropped += n.Dropped
		t.Full += n.Full
		t.Revoked += n.Revoked
		t.bytes += n.bytes
		t.droppedBytes += n.droppedBytes
	}
	return t
}

// since computes the rates since an earlier record.
func (n *record) since(old record) {
	seconds := n.Ts - old.Ts
	if old.Ts == 0 || seconds <= 0 {
		return
	}
	n.ForwardKpps = float64(n.Forwarded-old.Forwarded) / seconds / 1e3
	n.DropKpps = float64(n.Dropped-old.Dropped) / seconds / 1e3
	n.ForwardMbps = float64(n.bytes-old.bytes) * 8 / seconds / 1e6
	n.DropMbps = float64(n.droppedBytes-old.droppedBytes) * 8 / seconds / 1e6
}

// tick reports to the outputs whose interval ends in this second. The rates are measured over the
// last second.
func (r *reporter) tick(second int) {
	var to []io.Writer
	if r.o.stdout > 0 && second%r.o.stdout == 0 {
		to = append(to, r.o.out)
	}
	if r.log != nil && second%r.o.syslog == 0 {
		to = append(to, r.log)
	}
	now := float64(time.Now().UnixMicro()) / 1e6
	line := func(key string, n record) {
		n.Ts = now
		n.since(r.old[key])
		r.old[key] = n
		for _, w := range to {
			json.NewEncoder(w).Encode(n)
		}
	}
	for i, o := range r.b.outputs {
		n := o.read()
		n.OutputRing = &i
		line(o.name, n)
	}
	line("", r.total())
}

// summary writes the line with which upstream's lb ends, and the reasons of drops.
func (r *reporter) summary() {
	t := r.total()
	fmt.Fprintf(r.o.out, "%d packets forwarded.  %d packets dropped. Total %d\n", t.Forwarded,
		t.Dropped, t.Forwarded+t.Dropped)
	if t.Dropped > 0 {
		fmt.Fprintf(r.o.err, "Dropped: %d because the pipe was full, %d to make room for newer ones.\n",
			t.Full, t.Revoked)
	}
	if n := r.b.tooLong.Load(); n > 0 {
		fmt.Fprintf(r.o.err, "Dropped: %d slots of frames longer than a ring.\n", n)
	}
	if n := r.b.malformed.Load(); n > 0 {
		fmt.Fprintf(r.o.err, "Dropped: %d frames with invalid slots.\n", n)
	}
}
