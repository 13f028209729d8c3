// Package metrics exports the counters of an embedded framework to Prometheus. Their names and
// labels are those of netmap serve, which doc/monitoring.md lists. Package embed itself does not
// depend on Prometheus.
//
//	prometheus.MustRegister(metrics.Collector(framework))
//	http.Handle("/metrics", promhttp.Handler())
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/metrics"
)

// Collector reads the framework's status at each scrape. Several frameworks in one registry need
// labels that tell them apart (prometheus.WrapRegistererWith).
func Collector(f *embed.Framework) prometheus.Collector { return metrics.New(f.Status) }
