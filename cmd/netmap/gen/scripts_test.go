package gen

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// scripts are patterns with which scripts of users parse the output of pkt-gen. Each has a line
// that pkt-gen wrote, to show that the pattern matches it.
var scripts = map[string]struct{ pattern, pktgen string }{
	"start": {`^(Sending on|Receiving from|Working on) (\S+): (\d+) queues, (\d+) threads and (\d+) ` +
		`cpus\.$`,
		"Sending on vale0:a: 2 queues, 1 threads and 1 cpus."},
	"addresses": {`^(\S+) -> (\S+) \(([0-9a-f:]{17}) -> ([0-9a-f:]{17})\)$`,
		"10.0.0.1 -> 10.1.0.1 (00:00:00:00:00:00 -> ff:ff:ff:ff:ff:ff)"},
	"ready": {`^\d{3}\.\d{6} start_threads \[\d+\] Ready\.\.\.$`,
		"166.832723 start_threads [2697] Ready..."},
	"wait": {`^\d{3}\.\d{6} start_threads \[\d+\] Wait (\d+) secs for phy reset$`,
		"166.832631 start_threads [2695] Wait 0 secs for phy reset"},
	"rate": {`^(\d{3}\.\d{6}) main_thread \[\d+\] ([\d.]+) ([KMG]?)pps (?:\[avg/std ([\d.]+ ` +
		`[KMG]?)/([\d.]+ [KMG]?) pps\])?` +
		`\(([\d.]+) ([KMG]?)pkts ([\d.]+) ([KMG]?)bps in (\d+) usec\) ([\d.]+) avg_batch (\d+) min_space`,
		"170.836081 main_thread [2781] 16.513 Kpps [avg/std 66.605 K/36.090 K pps](16.517 Kpkts 7.926 " +
			"Mbps in 1000253 usec) 330.34 avg_batch 99999 min_space"},
	"plain": {`main_thread \[\d+\] (\d+) pps \((\d+) pkts (\d+) bps in`,
		"182.149801 main_thread [2781] 10 pps (10 pkts 6741 bps in 996958 usec) 1.00 avg_batch 99999 " +
			"min_space"},
	"total": {`^(Sent|Received) (\d+) packets (\d+) bytes (\d+) events (\d+) bytes each in ([\d.]+) ` +
		`seconds\.$`,
		"Sent 200000 packets 12000000 bytes 601 events 60 bytes each in 2.00 seconds."},
	"speed": {`^Speed: ([\d.]+) ([KMG]?)pps Bandwidth: ([\d.]+) ([KMG]?)bps \(raw ([\d.]+) ` +
		`([KMG]?)bps\)\. Average batch: ([\d.]+) pkts$`,
		"Speed: 99.914 Kpps Bandwidth: 47.959 Mbps (raw 47.959 Mbps). Average batch: 332.78 pkts"},
	"nothing": {`^(Sent|Received) nothing\.$`,
		"Received nothing."},
	"rtt": {`ping_body \[\d+\] count (\d+) RTT: min (\d+) av (\d+) ns$`,
		"176.002083 ping_body [1533] count 1001 RTT: min 19840 av 159473 ns"},
	"buckets": {`(?m)ping_body \[\d+\] k: (\d+) \.\. (\d+)\n\t((?:\s+\d+)+)$`,
		"176.002125 ping_body [1549] k: 16384 .. 32768\n\t    49    36"},
	"rtts": {`ping_body \[\d+\] RTT over (\d+) packets: min (\d+) av (\d+) ns$`,
		"178.000122 ping_body [1566] RTT over 3000 packets: min 16204 av 93758 ns"},
	"dump": {`^ring \S+ cur +(\d+) \[buf +(\d+) flags 0x([0-9a-f]{4}) len +(\d+)\]$`,
		"ring 0x7fb42d022000 cur     5 [buf   1032 flags 0x0300 len    34]"},
	"hex": {`^ +(\d+): ((?:[0-9a-f]{2} )+)`,
		"   16: f9 bc a5 10 a8 00 80 c9 91 81 c4 c9 31 bb 75 db ............1.u."},
}

func TestScriptsThatReadPktGen(t *testing.T) {
	for name, s := range scripts {
		if !regexp.MustCompile(s.pattern).MatchString(s.pktgen) {
			t.Errorf("%s: %s does not match what pkt-gen wrote", name, s.pattern)
		}
	}
	for _, tt := range []struct {
		first, last string
		stdout      string // patterns that match the output of last
		stderr      string
		firstStdout string
	}{
		{"-f rx -i x}1 -n 2000", "-f tx -i x{1 -n 2000 -R 10k -T 50",
			"start addresses total speed", "rate", "start total speed"},
		{"-f rx -i x}1 -n 2000", "-f tx -i x{1 -n 2000 -R 10k -T 50 -A",
			"start addresses total speed", "rate", "start total speed"},
		{"-f rx -i x}1", "-f tx -i x{1 -n 2000 -R 10k -T 50 -N -d 10.1.0.1:5-10.1.0.9",
			"addresses", "plain", ""},
		{"-f rxseq -i x}1", "-f txseq -i x{1 -n 500 -R 10k",
			"start addresses total speed", "", "start total speed"},
		{"-f tx -i x}1 -n 1 -X", "-f rx -i x{1 -n 1 -X",
			"start total speed dump hex", "", "start total dump hex"},
		{"-f pong -i x}1", "-f ping -i x{1 -n 200 -R 1000 -T 100",
			"start", "rate rtt buckets rtts", "start"},
		{"-f pong -i x}1", "-f rx -i x{1 --time 30ms", "start nothing", "", "start"},
	} {
		_, jobs := runJobs(t, strings.Fields(tt.first), strings.Fields(tt.last))
		for _, w := range []struct {
			j        *job
			errors   bool
			patterns string
		}{{jobs[1], false, tt.stdout}, {jobs[1], true, tt.stderr}, {jobs[0], false, tt.firstStdout}} {
			text := w.j.out.(*bytes.Buffer).String()
			if w.errors {
				text = w.j.err.(*bytes.Buffer).String()
			}
			for _, name := range strings.Fields(w.patterns) {
				if !regexp.MustCompile("(?m)" + scripts[name].pattern).MatchString(text) {
					t.Errorf("gen %s, then gen %s: nothing matches %s in\n%s", tt.first, tt.last, name, text)
				}
			}
		}
	}
	_, text, err := runGen(t, strings.Fields("-i vale0:a -w 0 --time 10ms")...)
	for _, name := range []string{"wait", "ready"} {
		if !regexp.MustCompile("(?m)" + scripts[name].pattern).MatchString(text) {
			t.Errorf("%v: nothing matches %s in\n%s", err, name, text)
		}
	}
}
