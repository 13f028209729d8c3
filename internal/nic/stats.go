//go:build linux

package nic

// Describe says in which mode the kernel works, and what it lost because we gave it too few buffers or took too little out
// of its rings. Counters start anew when the last ring of a queue closes.
func (p *Port) Describe() (string, map[string]uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	drops := map[string]uint64{}
	for _, q := range p.queues {
		if q.socket == nil {
			continue
		}
		if s, err := q.socket.Stats(); err == nil {
			add(drops, "kernel-rx-dropped", s.RxDropped)
			add(drops, "kernel-rx-ring-full", s.RxRingFull)
			add(drops, "kernel-rx-invalid", s.RxInvalid)
			add(drops, "kernel-tx-invalid", s.TxInvalid)
		}
	}
	if !p.chosen {
		return "", drops
	}
	return p.mode.String(), drops
}

func add(drops map[string]uint64, why string, n uint64) {
	if n > 0 {
		drops[why] += n
	}
}
