package capture

import (
	"encoding/json"
	"fmt"
	"time"
)

// summary describes a capture at its end.
type summary struct {
	Seconds  float64 `json:"seconds"`
	Received uint64  `json:"received"` // frames that the port received
	Accepted uint64  `json:"accepted"` // by the filter
	Captured uint64  `json:"captured"`
	Slow     uint64  `json:"dropped_by_writer"` // because the disk was too slow
	Port     *uint64 `json:"dropped_by_port"`   // because the capture was too slow; null if unknown
	Link     uint64  `json:"dropped_by_interface"`
	why      error   // why Port is unknown
}

func newSummary(n totals, l loss, t time.Duration) *summary {
	s := &summary{Seconds: t.Seconds(), Received: n.received, Accepted: n.accepted,
		Captured: n.captured, Slow: n.accepted - n.captured, Link: l.link, why: l.why}
	if l.known {
		s.Port = &l.port
	}
	return s
}

// write prints the summary, in lines like those of tcpdump.
func (s *summary) write(o *flags) {
	if o.json {
		json.NewEncoder(o.out).Encode(s)
		return
	}
	fmt.Fprintf(o.err, "%d packets captured\n%d packets received by filter\n", s.Captured, s.Accepted)
	if s.Port == nil {
		fmt.Fprintf(o.err, "packets dropped by the port: not known: %v\n", s.why)
	} else {
		fmt.Fprintf(o.err, "%d packets dropped by the port\n", *s.Port)
	}
	if s.Link > 0 {
		fmt.Fprintf(o.err, "%d packets dropped by the interface\n", s.Link)
	}
	fmt.Fprintf(o.err, "%d packets dropped because the file was written too slowly\n", s.Slow)
}
