package options

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// parse parses flags as the command does.
func parse(t *testing.T, args ...string) *Options {
	t.Helper()
	o := &Options{}
	f := pflag.NewFlagSet("gen", pflag.ContinueOnError)
	o.AddFlags(f)
	if err := errors.Join(f.Parse(args), o.Check(f)); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestFlags(t *testing.T) {
	o := parse(t, "-f", "tx", "-i", "netmap:eth0", "-n", "2M", "-R", "1.5M", "-b", "32", "-l", "100",
		"-p", "2", "-T", "500", "-w", "3",
		"-s", "10.0.0.1:5-10.0.0.2:6", "-d", "10.9.0.1", "-S", "02:00:00:00:00:01",
		"-D", "02:00:00:00:00:02-02:00:00:00:00:09", "--time", "2s")
	if o.Count != 2e6 || o.PPS() != 1.5e6 || o.Burst != 32 || o.Frames.Lengths.Most != 100 ||
		o.Threads != 2 || o.Show.Interval != 500 || o.Wait != 3 || o.Duration != 2*time.Second {
		t.Errorf("%+v", o)
	}
	for _, tt := range []struct{ got, want string }{
		{o.Frames.Src.String(), "10.0.0.1:5-10.0.0.2:6"}, {o.Frames.Dst.String(), "10.9.0.1:1234"},
		{o.Frames.SrcMAC.String(), "02:00:00:00:00:01"},
		{o.Frames.DstMAC.String(), "02:00:00:00:00:02-02:00:00:00:00:09"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s, want %s", tt.got, tt.want)
		}
	}
	if o = parse(t, "-f", "ping", "-i", "eth0"); o.Burst != 1 || o.Frames.Lengths.Most != 60 ||
		o.PPS() != 0 || o.Count != 0 || o.Wait >= 0 {
		t.Errorf("defaults of ping: %+v", o)
	}
}

func TestConfig(t *testing.T) {
	for text, want := range map[string]Config{
		"64": {64, 64, 0, 0}, "64,128": {64, 128, 0, 0}, "64,128,3": {64, 128, 3, 3},
		"64,128,3,4": {64, 128, 3, 4}, ",,2": {0, 0, 2, 2}, "0": {},
	} {
		if got, err := parseConfig(text); err != nil || got != want {
			t.Errorf("-C %s is %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestRates(t *testing.T) {
	for args, want := range map[string]float64{
		"-R 1": 1, "-R 100k": 1e5, "-R 2kpps": 2000, "-R 480bps": 1, "-R 672bps -B": 1,
		"-R 1Gbps -l 125 -f tx -i x{1":        1e6,
		"-R 80kbps -l 151 -l 50 -f tx -i x{1": 100, "-R 0": 0,
	} {
		if got := parse(t, strings.Fields(args)...).PPS(); got != want {
			t.Errorf("%s: %v frames a second, want %v", args, got, want)
		}
	}
}
