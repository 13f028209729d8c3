package rows

import (
	"math"
	"testing"
)

func TestTestpmdCounters(t *testing.T) {
	output := []string{
		"Port statistics ====================================",
		"  ######################## NIC statistics for port 0  ########################",
		"  RX-packets: 212509888  RX-missed: 0          RX-bytes:  12750595140",
		"  RX-errors: 0",
		"  RX-nombuf:  0         ",
		"  TX-packets: 7          TX-errors: 0          TX-bytes:  420",
		"",
		"  Throughput (since last show)",
		"  Rx-pps:     17770453          Rx-bps:   8529817704",
		"  Tx-pps:            3          Tx-bps:         1440",
	}
	var s pmdStats
	counters := 0
	for _, l := range output {
		if s.read(l) {
			counters++
		}
	}
	if want := (pmdStats{212509888, 7, 17770453, 3}); s != want || counters != 4 {
		t.Errorf("read %+v from %d lines, want %+v from 4", s, counters, want)
	}
	if n, ok := pmdReceived(output[2]); n != 212509888 || !ok {
		t.Errorf("pmdReceived = %v, %v", n, ok)
	}
	for _, l := range []string{output[5], output[8], "RX-packets:", "RX-packets: many"} {
		if n, ok := pmdReceived(l); ok {
			t.Errorf("pmdReceived(%q) = %v", l, n)
		}
	}
}

func TestPktGenLines(t *testing.T) {
	tests := []struct {
		text string
		want float64
		ok   bool
	}{
		{"421.123456 main_thread [2781] 12.345 Mpps (12.361 Mpkts 5.934 Gbps in 1001322 usec) " +
			"497.31 avg_batch 0 min_space", 12.361e6, true},
		{"421.123456 main_thread [2781] 83.000 Kpps (84.500 Kpkts 39.840 Mbps in 1001000 usec) " +
			"1.00 avg_batch 1022 min_space", 84500, true},
		{"421.123456 main_thread [2781] 0.000 pps (0.000 pkts 0.000 bps in 1001000 usec) " +
			"0.00 avg_batch 99999 min_space", 0, true},
		{"main [3221] interface is vale0:tx", 0, false},
		{"Sent 1000 packets 60000 bytes 2 events 60 bytes each in 0.01 seconds.", 0, false},
	}
	for _, tt := range tests {
		if n, ok := pktGenFrames(tt.text); math.Abs(n-tt.want) > 1e-3 || ok != tt.ok {
			t.Errorf("pktGenFrames(%q) = %v, %v, want %v, %v", tt.text, n, ok, tt.want, tt.ok)
		}
	}
	read := pktGenTotal()
	read(tests[1].text)
	if n, ok := read(tests[1].text); n != 169000 || !ok {
		t.Errorf("the total of two lines is %v, %v, want 169000", n, ok)
	}
}

func TestBenchmarkLines(t *testing.T) {
	found := parseBenchmarks(`goos: linux
BenchmarkVALE/60/batch=512/sync-2 	 1000	 5.107 ns/frame	 195.8 Mframes/s	 0 B/op	       0 allocs/op
BenchmarkIdleSync/vale0:tx-16 	70000000	        17.09 ns/op	       0 B/op	       0 allocs/op
PASS
`)
	if v := found.get("BenchmarkVALE/60/batch=512/sync", "Mframes/s"); v != 195.8 {
		t.Errorf("Mframes/s: %v", v)
	}
	if v := found.get("BenchmarkIdleSync/vale0:tx", "ns/op"); v != 17.09 {
		t.Errorf("ns/op: %v", v)
	}
	if v := found.get("BenchmarkPipe", "ns/op"); len(found) != 2 || !math.IsNaN(v) {
		t.Errorf("%d benchmarks; one that was not run gives %v", len(found), v)
	}
}

func TestCounterRate(t *testing.T) {
	info := "model name\t: Fast One 3000\nflags\t\t: fpu constant_tsc nonstop_tsc\n" +
		"bogomips\t: 5192.29\n"
	if ghz, err := parseCounterRate(info); ghz != 2.596145 || err != nil {
		t.Errorf("the counter's rate is %v, %v", ghz, err)
	}
	for _, bad := range []string{"", "flags\t: fpu tsc\nbogomips\t: 5192.29\n",
		"flags\t: fpu constant_tsc\n", "flags\t: constant_tsc x\nbogomips\t: 1.00\n"} {
		if ghz, err := parseCounterRate(bad); err == nil {
			t.Errorf("the counter's rate in %q is %v", bad, ghz)
		}
	}
}

// On one core, names of benchmarks have no number of processors.
func TestBenchmarksOnOneCore(t *testing.T) {
	found := parseBenchmarks("BenchmarkOwn/receive \t 100\t 5.5 ns/frame\n" +
		"BenchmarkTwo-part/x-4 \t 100\t 6.5 ns/frame\n")
	v, w := found.get("BenchmarkOwn/receive", "ns/frame"), found.get("BenchmarkTwo-part/x", "ns/frame")
	if v != 5.5 || w != 6.5 {
		t.Errorf("%v, %v", v, w)
	}
}
