package metrics_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/embed/metrics"
)

func newFramework(t *testing.T, port string) *embed.Framework {
	t.Helper()
	f, err := embed.New(embed.Config{Buffers: 4096, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Open(port); err != nil {
		t.Fatal(err)
	}
	return f
}

// Several frameworks share a registry, if labels tell them apart.
func TestCollector(t *testing.T) {
	r := prometheus.NewRegistry()
	for i, port := range []string{"vale0:a", "vale0:b"} {
		labels := prometheus.Labels{"framework": fmt.Sprint(i)}
		prometheus.WrapRegistererWith(labels, r).MustRegister(metrics.Collector(newFramework(t, port)))
	}
	w := httptest.NewRecorder()
	h := promhttp.HandlerFor(r, promhttp.HandlerOpts{})
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`netmap_port_users{framework="0",netns="",port="vale0:a"} 1`,
		`netmap_port_users{framework="1",netns="",port="vale0:b"} 1`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %q in %d %s", want, w.Code, w.Body)
		}
	}
}
