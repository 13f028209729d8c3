package top

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/seed-48afdc40/netmap/internal/status"
)

// order is what ports and rings are sorted by.
type order int

const (
	byName order = iota
	byRx
	byTx
	byLost
	orders
)

func (o order) String() string { return [orders]string{"name", "rx", "tx", "lost"}[o] }

// number formats a rate or a count in at most six characters.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10 && v != math.Trunc(v):
		return fmt.Sprintf("%.1f", v)
	case v < 1000:
		return fmt.Sprintf("%.0f", v)
	}
	i := -1
	for v >= 999.5 && i < len(units)-1 {
		v /= 1000
		i++
	}
	digits := 2
	if v >= 99.95 {
		digits = 0
	} else if v >= 9.995 {
		digits = 1
	}
	return fmt.Sprintf("%.*f%c", digits, v, units[i])
}

const units = "kMGTPE"

// amount is a cell with a number. It has the given look unless it is 0.
func amount(v float64, as look) cell {
	if v == 0 {
		return cell{"0", dim}
	}
	return cell{number(v), as}
}

// gauge draws a fill level.
func gauge(part float64, width int) cell {
	part = min(max(part, 0), 1)
	full := int(part*float64(width) + 0.5)
	if full == 0 && part > 0 {
		full = 1
	}
	as := plain
	switch {
	case part == 0:
		as = dim
	case part > 0.9:
		as = bad
	}
	return cell{strings.Repeat("█", full) + strings.Repeat("░", width-full), as}
}

const gaugeWidth = 8

// sorted returns the ports in the given order, the busiest first.
func (c *changes) sorted(by order) []*portRates {
	ports := slices.Clone(c.ports)
	value := map[order]func(*portRates) float64{
		byRx:   func(p *portRates) float64 { return p.rx.frames },
		byTx:   func(p *portRates) float64 { return p.tx.frames },
		byLost: func(p *portRates) float64 { return p.lost },
	}[by]
	if value != nil {
		slices.SortStableFunc(ports, func(a, b *portRates) int { return cmp.Compare(value(b), value(a)) })
	}
	return ports
}

func (c *changes) portTable(by order) table {
	t := table{name: "PORTS", note: fmt.Sprint(len(c.ports)), empty: "no port is open",
		columns: []column{
			{head: "port", flex: true}, {head: "kind"}, {head: "users", right: true, rank: 4},
			{head: "tx pps", right: true}, {head: "bit/s", right: true, rank: 1},
			{head: "rx pps", right: true}, {head: "bit/s", right: true, rank: 1},
			{head: "lost/s", right: true}, {head: "lost", right: true, rank: 2},
			{head: "fullest", rank: 5}, {head: "rings", right: true, rank: 6},
			{head: "about", flex: true, rank: 3}}}
	for _, p := range c.sorted(by) {
		t.rows = append(t.rows, []cell{
			{c.name(p), strong}, {p.port.Kind, plain}, {fmt.Sprint(p.port.Users), plain},
			amount(p.tx.frames, good), amount(p.tx.bits, plain), amount(p.rx.frames, good),
			amount(p.rx.bits, plain),
			amount(p.lost, bad), amount(float64(p.total), warn), gauge(p.fill(), gaugeWidth),
			{ringCount(p.port), dim}, {about(p.port), dim}})
	}
	return t
}

// name is the port's name, with its network namespace if several ports have the name.
func (c *changes) name(p *portRates) string {
	same := 0
	for _, o := range c.ports {
		if o.port.Name == p.port.Name {
			same++
		}
	}
	if same > 1 {
		return p.port.Name + "@" + p.port.NetNS
	}
	return p.port.Name
}

// ringCount is how many rings are in use, tx and rx.
func ringCount(p *status.Port) string {
	n := map[string]int{}
	for _, r := range p.Rings {
		if r.Open {
			n[r.Direction]++
		}
	}
	return fmt.Sprintf("%d+%d", n["tx"], n["rx"])
}

// about is other information about a port.
func about(p *status.Port) string {
	var all []string
	if p.Detail != "" {
		all = append(all, p.Detail)
	}
	if p.Attached != "" {
		all = append(all, p.Attached+" attached")
	}
	if p.Persistent {
		all = append(all, "persistent")
	}
	return strings.Join(all, ", ")
}

func (c *changes) ringTable(by order) table {
	t := table{name: "RINGS", empty: "no ring is in use", columns: []column{
		{head: "port", flex: true}, {head: "ring"},
		{head: "slots", right: true, rank: 4}, {head: "used", right: true, rank: 1}, {head: "fill"},
		{head: "pps", right: true}, {head: "bit/s", right: true}, {head: "lost/s", right: true},
		{head: "frames", right: true, rank: 2}, {head: "bytes", right: true, rank: 3}}}
	open := 0
	for _, p := range c.sorted(by) {
		for _, r := range p.rings {
			if !r.ring.Open {
				continue
			}
			open++
			t.rows = append(t.rows, []cell{
				{c.name(p), strong}, {r.name(), plain}, {fmt.Sprint(r.ring.Slots), dim},
				{fmt.Sprint(r.ring.Used), plain}, gauge(r.fill(), gaugeWidth),
				amount(r.frames, good), amount(r.bits, plain), amount(r.lost, bad),
				amount(float64(r.ring.Frames), plain), amount(float64(r.ring.Bytes), plain)})
		}
	}
	t.note = fmt.Sprintf("%d in use", open)
	return t
}

// name is direction and number; a "^" marks a host ring.
func (r *ringRates) name() string { return r.ring.Direction + " " + r.ring.Label() }

// reasons explain why frames are lost, and what helps.
var reasons = map[string]string{
	"bad-buffer":          "program's error: a slot without a buffer",
	"bad-length":          "program's error: longer than a buffer, or empty",
	"too-short":           "program's error: shorter than an Ethernet header",
	"too-many-fragments":  "program's error: too many slots in a packet",
	"no-room":             "ring full: reader too slow, or too few slots",
	"not-open":            "the receiver has no rx ring open",
	"no-receiver":         "no other port on the switch, or sent to its own address",
	"link-error":          "the kernel refused the frame",
	"bad-header":          "program's error: a virtio-net header that is wrong",
	"bad-address":         "program's error: NS_INDIRECT to memory that does not exist",
	"too-long-for-mtu":    "longer than the interface's MTU allows",
	"refused-by-device":   "the device, or its other end, does not take such frames",
	"kernel-rx-dropped":   "no buffer left: reader too slow",
	"kernel-rx-ring-full": "kernel's ring full: reader too slow",
	"kernel-rx-invalid":   "the kernel found a bad descriptor to receive into",
	"kernel-tx-invalid":   "the kernel found a bad descriptor to send",
	"host-queue-full":     "host rings full: reader too slow",
}

func (c *changes) dropTable() table {
	t := table{name: "LOST", empty: "no frame was lost", columns: []column{
		{head: "port", flex: true}, {head: "ring"}, {head: "reason"}, {head: "lost/s", right: true},
		{head: "total", right: true}, {head: "what it means", flex: true, rank: 1}}}
	type loss struct {
		port *portRates
		ring string
		drop
	}
	var all []loss
	add := func(p *portRates, ring string, drops []drop) {
		for _, d := range drops {
			all = append(all, loss{p, ring, d})
		}
	}
	for _, p := range c.ports {
		add(p, "kernel", p.drops)
		for _, r := range p.rings {
			add(p, r.name(), r.drops)
		}
	}
	slices.SortStableFunc(all, func(a, b loss) int { return cmp.Compare(b.second, a.second) })
	for _, l := range all {
		t.rows = append(t.rows, []cell{{c.name(l.port), strong}, {l.ring, plain}, {l.why, plain},
			amount(l.second, bad), amount(float64(l.total), warn), {reasons[l.why], dim}})
	}
	return t
}

// switchTable shows the ports of switches, and the addresses learned behind them, as many per line
// as there is room for.
func (c *changes) switchTable(switches []status.Switch, width int) table {
	fixed := 30 // all but the names and the addresses
	for _, s := range switches {
		for _, p := range s.Ports {
			fixed = max(fixed, 30+len(p.Name))
		}
	}
	t := table{name: "SWITCHES", note: fmt.Sprint(len(switches)), empty: "no VALE switch has ports",
		columns: []column{
			{head: "switch"}, {head: "#", right: true}, {head: "port"}, {head: "tx pps", right: true},
			{head: "rx pps", right: true}, {head: "addresses learned", flex: true}}}
	inLine := max((width-fixed)/18, 1)
	for _, s := range switches {
		name := s.Name
		for _, p := range s.Ports {
			var macs []string
			for _, a := range s.Addresses {
				if a.Port == p.Index {
					macs = append(macs, a.MAC)
				}
			}
			row := []cell{{name, strong}, {fmt.Sprint(p.Index), dim},
				{strings.TrimPrefix(p.Name, s.Name+":"), plain}, {"", dim}, {"", dim}, {"", dim}}
			if rates := c.byName[p.Name]; rates != nil {
				row[3], row[4] = amount(rates.tx.frames, good), amount(rates.rx.frames, good)
			}
			t.spread(row, macs, inLine)
			name = ""
		}
	}
	return t
}

// spread writes a list into the last column of a row, and into more rows below it.
func (t *table) spread(row []cell, list []string, inLine int) {
	last := len(row) - 1
	for {
		n := min(inLine, len(list))
		row[last] = cell{strings.Join(list[:n], " "), plain}
		t.rows = append(t.rows, row)
		if list = list[n:]; len(list) == 0 {
			return
		}
		row = make([]cell, len(row))
	}
}

func clientTable(s *status.Status, width int) table {
	clients, empty := s.Clients, "no program has the device open"
	if s.Program != "" {
		empty = "none but itself: its ports are inside this program"
	}
	t := table{name: "CLIENTS", note: fmt.Sprint(len(clients)), empty: empty, columns: []column{
		{head: "pid", right: true}, {head: "program"}, {head: "ports", flex: true}}}
	for _, c := range clients {
		ports := count(c.Ports)
		if c.Unbound > 0 {
			ports = append(ports, fmt.Sprintf("(%d unbound)", c.Unbound))
		}
		t.spread([]cell{{fmt.Sprint(c.PID), strong}, {c.Command, plain}, {"", plain}}, ports,
			max((width-28)/20, 1))
	}
	return t
}

// count joins equal neighbours: "vale0:a ×3".
func count(names []string) (list []string) {
	for i := 0; i < len(names); {
		n := 1
		for i+n < len(names) && names[i+n] == names[i] {
			n++
		}
		text := names[i]
		if n > 1 {
			text += fmt.Sprintf(" ×%d", n)
		}
		list = append(list, text)
		i += n
	}
	return list
}

func memoryTable(regions []status.Region) table {
	t := table{name: "MEMORY", columns: []column{{head: "region", flex: true},
		{head: "in memory", right: true}, {head: "buffers used"}, {head: "", right: true},
		{head: "rings", right: true}, {head: "ports", right: true}}}
	for _, m := range regions {
		name := fmt.Sprint(m.ID)
		if m.Private {
			name += " (a program's)"
		}
		pool := func(p status.Pool) cell { return cell{fmt.Sprintf("%d/%d", p.Used(), p.Total), plain} }
		t.rows = append(t.rows, []cell{{name, strong}, {number(float64(m.Taken)) + "B", plain},
			gauge(share(m.Buffers), gaugeWidth), pool(m.Buffers), pool(m.Rings), pool(m.Interfaces)})
	}
	return t
}

func share(p status.Pool) float64 {
	if p.Total == 0 {
		return 0
	}
	return float64(p.Used()) / float64(p.Total)
}
