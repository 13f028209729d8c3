package filter

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func mustCompile(t testing.TB, expr string) *Program {
	t.Helper()
	p, err := Compile(expr)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tcpFrame is a frame from 10.0.0.1:1000 to 10.0.0.2:80.
const tcpFrame = "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00" +
	"\x45\x00\x00\x28\x00\x00\x00\x00\x40\x06\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02" +
	"\x03\xe8\x00\x50\x00\x00\x00\x00\x00\x00\x00\x00\x50\x02\x00\x00\x00\x00\x00\x00"

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		expr string
		want bool
	}{
		{"", true}, {"  ", true}, {"tcp", true}, {"tcp port 80", true},
		{"tcp port http", true}, {"udp port domain", false},
		{"ip proto tcp", true}, {"ether proto ip", true}, {"port 0x50", true}, {"len = 54", true},
		{"64 / ip[8] = 1", true}, {"64 / ip6[8] = 1", false}, // libpcap does not check for IPv6
		{"1 / (len - 54) = 0", false}, {"not 1 / (len - 54) = 0", false}, // division by zero
		{"ip[100] = 0", false}, {"not ip[100] = 0", false}, // missing byte
		{"1 << 40 = 0", true}, {"1 + 1 = 2", true}, {"1 = 2", false},
	} {
		if got := mustCompile(t, tt.expr).Match([]byte(tcpFrame)); got != tt.want {
			t.Errorf("%q: %v", tt.expr, got)
		}
	}
	p := mustCompile(t, "len = 1000 and ip[8] = 64")
	if !p.MatchPart([]byte(tcpFrame), 1000) || p.Match([]byte(tcpFrame)) {
		t.Error("MatchPart does not use the length of the whole frame")
	}
}

// An error tells what is wrong, and where.
func TestErrors(t *testing.T) {
	for expr, want := range map[string]string{
		"ip and":                                 "at its end: want a host",
		"tcp port":                               "at its end: want a port",
		"port 70000":                             `"70000" at 5: want a port from 0`,
		"port nosuchservice":                     "no service",
		"ip port 80":                             "ip has no ports",
		"10.0.0.1":                               "qualifier before it",
		"host example.com":                       "names are not looked up",
		"host 10.0.0.1/24":                       "want 10.0.0.0",
		"net 10.0.0.0/33":                        "0 to 32",
		"net 10.0.0.0 mask 255.0.255.0":          "ones and then zeros",
		"net 10.0.0.0 mask x":                    "want the mask",
		"net 2001:db8::/129":                     "0 to 128",
		"ip6 host 10.0.0.1":                      "ip6 has no addresses",
		"tcp host 10.0.0.1":                      "tcp has no addresses",
		"ether host 10.0.0.1":                    "want an Ethernet address",
		"ether host 02:00:00:00:00":              "want an Ethernet address",
		"ether net 1.2.3.0":                      "no networks of Ethernet",
		"ether":                                  "every frame is one",
		"ip broadcast":                           "ip has no broadcast",
		"tcp multicast":                          "tcp has no multicast",
		"tcp proto 5":                            "tcp has no field",
		"ip proto nosuch":                        "write its number",
		"src proto 5":                            "no source",
		"vlan 4096":                              "up to 4095",
		"less ip":                                "want a length",
		"tcp udp":                                `"udp" at 4: "and" or "or"`,
		"(ip":                                    "never closed",
		"(":                                      "never closed",
		"((ip)":                                  "never closed",
		"ip)":                                    `")" at 2`,
		"ip[0:3] = 1":                            "1, 2 or 4",
		"ip[0 = 1":                               "want ]",
		"ip[0]":                                  "want a comparison",
		"len":                                    "want a comparison",
		"len > ":                                 "want a number",
		"len > ip":                               "want a number",
		"len / 0 = 1":                            "divides by zero",
		"host 10.0.0.1 # comment":                `"#" at 14`,
		`\ ip`:                                   "unexpected character",
		"inbound":                                "qualifier before it",
		"host (10.0.0.1":                         "want )",
		"host ()":                                "want a host",
		strings.Repeat("(", 300) + "ip":          "never closed",
		strings.Repeat("not ", 300) + "ip":       "too deeply",
		strings.Repeat("-", 300) + "1 = len":     "too deeply",
		"port 1" + strings.Repeat(" or 1", 3000): "too long",
	} {
		_, err := Compile(expr)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %.200v, want one with %q", expr, err, want)
		}
	}
}

// Jumps over more than 255 instructions work: one of many ports matches, and another port does not.
func TestLongJumps(t *testing.T) {
	for _, n := range []int{10, 40, 41, 42, 43, 44, 45, 64, 80, 100, 150} {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("dst port %d", 5000+i))
		}
		for _, last := range []string{"tcp", "not tcp", "dst port 80"} {
			expr := strings.Join(list, " or ") + " or " + last
			p := mustCompile(t, expr)
			want := last != "not tcp"
			if got := p.Match([]byte(tcpFrame)); got != want {
				t.Errorf("%d ports or %s: %v", n, last, got)
			}
			if got := verdict(t, newVM(t, p.Raw()), []byte(tcpFrame)); got != want {
				t.Errorf("%d ports or %s: another machine returns %v", n, last, got)
			}
			if not := mustCompile(t, "not ("+expr+")"); not.Match([]byte(tcpFrame)) == want {
				t.Errorf("not (%d ports or %s): %v", n, last, want)
			}
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	p := mustCompile(t,
		"tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) = 0)")
	if n := testing.AllocsPerRun(100, func() { p.Match([]byte(tcpFrame)) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if !p.Match([]byte(tcpFrame)) {
		t.Error("no match")
	}
}

// No expression and no frame causes a panic, and two machines agree.
func FuzzCompile(f *testing.F) {
	for _, e := range expressions(f) {
		f.Add(e, []byte(tcpFrame))
	}
	f.Fuzz(func(t *testing.T, expr string, frame []byte) {
		p, err := Compile(expr)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%v is no *Error", err)
			}
			return
		}
		if got, want := p.Match(frame), verdict(t, newVM(t, p.Raw()), frame); got != want {
			t.Errorf("%q: %v, another machine %v", expr, got, want)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, expr := range []string{"ip", "tcp port 80", "host 10.0.0.2",
		"tcp port 80 and not src net 10.0.0.0/31 and len > 60"} {
		b.Run(expr, func(b *testing.B) {
			p := mustCompile(b, expr)
			frame := []byte(tcpFrame)
			b.ReportAllocs()
			for b.Loop() {
				p.Match(frame)
			}
		})
	}
}
