package top

import (
	"cmp"
	"slices"

	"github.com/seed-48afdc40/netmap/internal/status"
)

// rate is what passed per second.
type rate struct{ frames, bits, lost float64 }

func (r rate) plus(o rate) rate {
	return rate{r.frames + o.frames, r.bits + o.bits, r.lost + o.lost}
}

// ringRates is a ring and its rates.
type ringRates struct {
	port *portRates
	ring *status.Ring
	rate
	drops []drop
}

// portRates is a port and its rates.
type portRates struct {
	port   *status.Port
	tx, rx rate // lost frames are in lost
	lost   float64
	total  uint64 // lost frames so far
	rings  []*ringRates
	drops  []drop // of the port itself
}

// drop is a reason for which frames are lost.
type drop struct {
	why    string
	total  uint64
	second float64
}

// changes are the rates between two statuses; all 0 if there is only one.
type changes struct {
	ports  []*portRates
	byName map[string]*portRates
	sum    portRates
}

// portKey identifies a port: ports in several network namespaces may have one name.
func portKey(p *status.Port) string { return p.Name + " " + p.NetNS }
func ringKey(p *status.Port, r *status.Ring) string {
	return portKey(p) + " " + r.Direction + r.Label()
}

// compare computes the rates between two statuses. Before may be nil.
func compare(now, before *status.Status) *changes {
	c := &changes{byName: map[string]*portRates{}}
	seconds, ports, rings := 0.0, map[string]*status.Port{}, map[string]*status.Ring{}
	if before != nil {
		seconds = now.Time.Sub(before.Time).Seconds()
		for i := range before.Ports {
			p := &before.Ports[i]
			ports[portKey(p)] = p
			for j := range p.Rings {
				rings[ringKey(p, &p.Rings[j])] = &p.Rings[j]
			}
		}
	}
	perSecond := func(now, before uint64) float64 {
		if now < before { // the port was closed and opened again
			before = 0
		}
		if seconds <= 0 {
			return 0
		}
		return float64(now-before) / seconds
	}
	dropsOf := func(now, before map[string]uint64) (all []drop) {
		for why, n := range now {
			all = append(all, drop{why, n, perSecond(n, before[why])})
		}
		slices.SortFunc(all, func(a, b drop) int { return cmp.Compare(a.why, b.why) })
		return all
	}
	for i := range now.Ports {
		p := &portRates{port: &now.Ports[i]}
		old, known := ports[portKey(p.port)]
		if !known {
			old = p.port // its counts are from before the first status
		}
		p.drops = dropsOf(p.port.Drops, old.Drops)
		for j := range p.port.Rings {
			r := &ringRates{port: p, ring: &p.port.Rings[j]}
			was := rings[ringKey(p.port, r.ring)]
			if was == nil {
				was = r.ring
			}
			r.frames, r.bits = perSecond(r.ring.Frames, was.Frames), 8*perSecond(r.ring.Bytes, was.Bytes)
			r.drops = dropsOf(r.ring.Drops, was.Drops)
			r.lost = sumDrops(r.drops)
			p.add(r)
		}
		p.lost += sumDrops(p.drops)
		for _, n := range p.port.AllDrops() {
			p.total += n
		}
		c.ports = append(c.ports, p)
		if _, taken := c.byName[p.port.Name]; !taken {
			c.byName[p.port.Name] = p
		}
		c.sum.tx, c.sum.rx, c.sum.lost = c.sum.tx.plus(p.tx), c.sum.rx.plus(p.rx), c.sum.lost+p.lost
	}
	return c
}

func (p *portRates) add(r *ringRates) {
	p.rings = append(p.rings, r)
	p.lost += r.lost
	if r.ring.Direction == "tx" {
		p.tx = p.tx.plus(r.rate)
	} else {
		p.rx = p.rx.plus(r.rate)
	}
}

func sumDrops(all []drop) (n float64) {
	for _, d := range all {
		n += d.second
	}
	return n
}

// fill is the fill level of the fullest open ring of the port, from 0 to 1.
func (p *portRates) fill() (most float64) {
	for _, r := range p.rings {
		most = max(most, r.fill())
	}
	return most
}

func (r *ringRates) fill() float64 {
	if r.ring.Slots < 2 {
		return 0
	}
	return float64(r.ring.Used) / float64(r.ring.Slots-1)
}
