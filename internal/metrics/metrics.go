// Package metrics presents the status of a framework to Prometheus. It counts nothing itself: each
// scrape reads the status.
package metrics

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-48afdc40/netmap/internal/status"
)

// metric is a metric, and the function that reads it from a status.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	read       reader
}

// reader reads a metric from a status: it calls is for each value, with the value's labels.
type reader = func(s *status.Status, is func(value float64, labels ...string))

const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue

var (
	portLabels = []string{"port", "netns"}
	ringLabels = []string{"port", "netns", "direction", "ring"}
)

// table lists all metrics. A test compares doc/monitoring.md with it.
var table = []metric{
	{"netmap_ring_frames_total",
		"Frames that passed through a ring. Of a tx ring, those that its program handed over; " +
			"of an interface's tx ring, those that the kernel took; of an rx ring, those put into " +
			"it.",
		counter, ringLabels,
		eachRing(func(r *status.Ring) float64 { return float64(r.Frames) })},
	{"netmap_ring_bytes_total", "Bytes of these frames, without CRC.", counter, ringLabels,
		eachRing(func(r *status.Ring) float64 { return float64(r.Bytes) })},
	{"netmap_drops_total",
		"Frames lost, by reason. Direction and ring are empty for frames that the kernel lost " +
			"on its side of a port.",
		counter, append(ringLabels[:4:4], "reason"), drops},
	{"netmap_ring_slots", "Slots of a ring.", gauge, ringLabels,
		eachRing(func(r *status.Ring) float64 { return float64(r.Slots) })},
	{"netmap_ring_used_slots",
		"Slots that hold frames: handed over and not sent, or received and not released.",
		gauge, ringLabels,
		eachRing(func(r *status.Ring) float64 { return float64(r.Used) })},
	{"netmap_port_users",
		"Descriptors, or programs in the same process, that have the port open.",
		gauge, portLabels,
		eachPort(func(p *status.Port) float64 { return float64(p.Users) })},
	{"netmap_port_info",
		"Always 1. The labels describe the port.",
		gauge, append(portLabels[:2:2], "kind", "detail", "attached"), portInfo},
	{"netmap_switch_ports", "Ports of a VALE switch.", gauge, []string{"switch"},
		eachSwitch(func(s *status.Switch) float64 { return float64(len(s.Ports)) })},
	{"netmap_switch_addresses",
		"MAC addresses that a VALE switch has learned.",
		gauge, []string{"switch"},
		eachSwitch(func(s *status.Switch) float64 { return float64(len(s.Addresses)) })},
	{"netmap_clients", "Processes that have the device open.", gauge, nil,
		func(s *status.Status, is func(float64, ...string)) { is(float64(len(s.Clients))) }},
	{"netmap_memory_bytes",
		"Bytes of memory that a region has from the system.",
		gauge, []string{"region"},
		func(s *status.Status, is func(float64, ...string)) {
			for _, m := range s.Memory {
				is(float64(m.Taken), strconv.Itoa(int(m.ID)))
			}
		}},
	{"netmap_memory_objects",
		"Interfaces, rings and buffers that a region has.",
		gauge, []string{"region", "pool"},
		eachPool(func(p status.Pool) float64 { return float64(p.Total) })},
	{"netmap_memory_free_objects",
		"Interfaces, rings and buffers that are free.",
		gauge, []string{"region", "pool"},
		eachPool(func(p status.Pool) float64 { return float64(p.Free) })},
}

func eachPort(value func(*status.Port) float64) reader {
	return func(s *status.Status, is func(float64, ...string)) {
		for i := range s.Ports {
			is(value(&s.Ports[i]), s.Ports[i].Name, s.Ports[i].NetNS)
		}
	}
}

func eachRing(value func(*status.Ring) float64) reader {
	return func(s *status.Status, is func(float64, ...string)) {
		for _, p := range s.Ports {
			for i := range p.Rings {
				is(value(&p.Rings[i]), p.Name, p.NetNS, p.Rings[i].Direction, p.Rings[i].Label())
			}
		}
	}
}

func eachSwitch(value func(*status.Switch) float64) reader {
	return func(s *status.Status, is func(float64, ...string)) {
		for i := range s.Switches {
			is(value(&s.Switches[i]), s.Switches[i].Name)
		}
	}
}

func eachPool(value func(status.Pool) float64) reader {
	return func(s *status.Status, is func(float64, ...string)) {
		for _, m := range s.Memory {
			id := strconv.Itoa(int(m.ID))
			is(value(m.Interfaces), id, "interfaces")
			is(value(m.Rings), id, "rings")
			is(value(m.Buffers), id, "buffers")
		}
	}
}

func portInfo(s *status.Status, is func(float64, ...string)) {
	for _, p := range s.Ports {
		is(1, p.Name, p.NetNS, p.Kind, p.Detail, p.Attached)
	}
}

func drops(s *status.Status, is func(float64, ...string)) {
	for _, p := range s.Ports {
		for why, n := range p.Drops {
			is(float64(n), p.Name, p.NetNS, "", "", why)
		}
		for _, r := range p.Rings {
			for why, n := range r.Drops {
				is(float64(n), p.Name, p.NetNS, r.Direction, r.Label(), why)
			}
		}
	}
}

// collector reads the status at each scrape. It implements prometheus.Collector.
type collector struct {
	status func() status.Status
	descs  []*prometheus.Desc
}

// Describe sends the descriptions of all metrics.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

// Collect reads the status and sends all metrics.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	s := c.status()
	for i, m := range table {
		m.read(&s, func(value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(c.descs[i], m.kind, value, labels...)
		})
	}
}

// New returns a collector that calls status at each scrape.
func New(status func() status.Status) prometheus.Collector {
	c := &collector{status: status}
	for _, m := range table {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, m.labels, nil))
	}
	return c
}

// Handler serves the metrics of the status and of the process.
func Handler(status func() status.Status) http.Handler {
	r := prometheus.NewRegistry()
	process := collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})
	r.MustRegister(New(status), collectors.NewGoCollector(), process)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{})
}
