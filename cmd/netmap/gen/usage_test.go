package gen

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli/clitest"
)

// line is a command line, and a part of its error.
type line struct{ args, want string }

var wrong = []line{
	{"-f tx", "-i"},
	{"-f send -i vale0:a", "-f takes one of"},
	{"-l 15", "-l takes 16"},
	{"-l 20k", "-l takes"},
	{"-l 59", "-l takes 60"},
	{"-l 60 -l 61 -l 62", "twice"},
	{"-l 60 -l 60", "first -l"},
	{"-6 -l 60", "-l takes 62"},
	{"-6 -l 79", "-l takes 80"},
	{"-f txseq -i x{1 -l 45", "-l takes 46"},
	{"-f ping -i x{1 -l 59", "-l takes 60"},
	{"-R fast", "not a rate"},
	{"-R 10Gb", "not a rate"},
	{"-n 1.5", "not a whole number"},
	{"-n -1", "not a quantity"},
	{"-s 10.0.0", "not an IP address"},
	{"-s 10.0.0.1 -d 2001:db8::1", "-s 10.0.0.1:1234 is not an IPv6"},
	{"-6 -d 10.0.0.1", "-d 10.0.0.1:1234 is not an IPv6"},
	{"-4 -s ::1", "-4"},
	{"-S xx", "not a MAC address"},
	{"-i x{1 -f tx -D xx", "not a MAC address"},
	{"-p 2", "-p"},
	{"-p 0", "-p takes"},
	{"-f ping -i x{1 -p 2", "-p"},
	{"-b -1", "-b takes"},
	{"-T 0", "-T takes"},
	{"-c 10000", "-c takes"},
	{"-a 10000", "-a takes"},
	{"--time -1s", "--time takes"},
	{"--no-check", "--no-check"},
	{"-F 3", "-F"},
	{"-f tx -i x{1 -F 64", "-F takes"},
	{"-f tx -i x{1 -F 0", "-F takes"},
	{"-f tx -i x{1 -M 5", "-M takes"},
	{"-f tx -i vale0:a -H 11", "-H takes"},
	{"-f tx -i x{1 -H 12", "-H"},
	{"-f tx -i x{1 -I", "-I"},
	{"-f tx -i vale0:a -I -r", "-I and -r"},
	{"-f tx -i vale0:a -I -F 2", "-F and -M"},
	{"-f txseq -i x{1 -F 4 -n 6", "-n takes a multiple"},
	{"-f rx -i x{1 -X --json", "-X and --json"},
	{"-f tx -i x{1 -P /nosuch.pcap", "-P: open /nosuch.pcap"},
	{"-f tx -i x{1 -P x -r", "-P and -r"},
	{"-f tx -i vale0:a -I --device=embedded", "-I needs a device"},
	{"-f tx -i x{1 -C 1,2,3,4,5", "-C takes"},
	{"-f tx -i x{1 -C many", "many"},
	{"-f tx -i x{1 -o 128", "-o takes"},
	{"-f tx -i tap:t0", "-i netmap:t0"},
	{"-f tx -i pcap:e0", "-i netmap:e0"},
	{"-f tx -i a:b", "-i: "},
	{"-f tx -i vale0:a-1 -p 2", "without a ring"},
	{"-t 5", "--time"},
	{"-e 5", "-e"},
	{"-E 5", "-E"},
	{"-m 5", "-m"},
	{"-G", "'G'"},
	{"-f tx -i x{1 surplus", "takes no arguments"},
}

// A wrong command line ends with status 2 and an error of one line that names the flag, before
// anything is written.
func TestWrongCommandLines(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("this is not what you want to send"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range append(wrong, line{"-f tx -i x{1 -P " + text, "no pcap"}) {
		if written := clitest.Fails(t, New(), tt.args, 2, tt.want); written != "" {
			t.Errorf("gen %s: written %q", tt.args, written)
		}
	}
}

// Faults that only opening finds are errors, too.
func TestPortsThatDoNotFit(t *testing.T) {
	for args, want := range map[string]string{
		"-f tx -i vale0:a-1 -p 2":              "without a ring",
		"-f tx -i vale0:a/R":                   "no tx rings",
		"-f tx -i vale0:a@conf:rings=1 -p 2":   "use -p 1 or less",
		"-f tx -i vale0:a -C 64,64,1 -p 2":     "use -p 1 or less",
		"-f tx -i netmap:nosuch0 -w 0":         "nosuch0",
		"-f tx -i a:b":                         "port name",
		"--device=/nosuch/device":              "/nosuch/device",
		"-f tx -i vale0:a -C 32 -l 4000 -M 60": "would take 67 slots",
	} {
		if _, _, err := runGen(t, strings.Fields(args)...); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("gen %s: error %v, want one with %q", args, err, want)
		}
	}
}
