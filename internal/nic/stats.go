//go:build linux

package nic

import "maps"

// description is the result of the last describe.
type description struct {
	mode  string
	drops map[string]uint64
}

// Describe returns the mode, and counts of the frames that the kernel lost because it had too few
// buffers or its rings were full. Counters start anew when the last ring of a queue closes. While a
// ring is being started, which takes up to a second, it returns the previous result.
func (p *Port) Describe() (string, map[string]uint64) {
	if p.mu.TryLock() {
		p.described.Store(p.describe())
		p.mu.Unlock()
	}
	d := p.described.Load()
	if d == nil {
		return "", map[string]uint64{}
	}
	return d.mode, maps.Clone(d.drops)
}

func (p *Port) describe() *description {
	d := &description{drops: map[string]uint64{}}
	if p.chosen {
		d.mode = p.mode.String()
	}
	for _, q := range p.queues {
		if q.socket == nil {
			continue
		}
		if s, err := q.socket.Stats(); err == nil {
			d.add("kernel-rx-dropped", s.RxDropped)
			d.add("kernel-rx-ring-full", s.RxRingFull)
			d.add("kernel-rx-invalid", s.RxInvalid)
			d.add("kernel-tx-invalid", s.TxInvalid)
		}
	}
	return d
}

func (d *description) add(why string, n uint64) {
	if n > 0 {
		d.drops[why] += n
	}
}
