package doctor

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/nicfacts"
	"github.com/seed-48afdc40/netmap/internal/testutil"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// on are active features. The driver can switch only the first ones.
func on(changeable int, names ...string) ethtool.Features {
	f := ethtool.Features{Active: map[string]bool{}, Wanted: map[string]bool{},
		Changeable: map[string]bool{}}
	for i, n := range names {
		f.Active[n], f.Wanted[n], f.Changeable[n] = true, true, i < changeable
	}
	return f
}

func TestAdvice(t *testing.T) {
	for _, tt := range []struct {
		name string
		nic  nicInfo
		want []string // levels and commands
	}{
		{"nothing",
			nicInfo{MTU: 1500, Driver: "igb", Link: "up",
				features: on(2, "rx-gro", "tx-checksum-ip-generic")}, nil},
		{"offloads", nicInfo{MTU: 1500, features: on(1, "rx-lro", "rx-gro-hw")}, []string{"warn "}},
		{"offloads that can be switched",
			nicInfo{MTU: 1500, features: on(2, "rx-lro", "rx-vlan-hw-parse")}, nil},
		{"offloads of what is no card",
			nicInfo{MTU: 1500, Kind: "tun", features: on(0, "rx-vlan-hw-parse")}, nil},
		{"queues",
			nicInfo{MTU: 1500, Driver: "virtio_net", Channel: &channels{Combined: 1, MaxCombined: 4}}, nil},
		{"MTU of XDP", nicInfo{MTU: 3600, Driver: "virtio_net"},
			[]string{"warn ip link set dev x mtu 1500", "warn netmap serve --buffer-size 4096"}},
		{"MTU of large buffers",
			nicInfo{MTU: 9000, Driver: "ixgbe"}, []string{"warn ip link set dev x mtu 2030"}},
		{"MTU of buffers",
			nicInfo{MTU: 2031, Driver: "ixgbe"}, []string{"warn netmap serve --buffer-size 4096"}},
		{"MTU that fits", nicInfo{MTU: 2030, Driver: "ixgbe"}, nil},
		{"MTU that fits into larger ones", nicInfo{MTU: 2031, Driver: "ixgbe", bufSize: 4096}, nil},
		{"frames come through another that is taken",
			nicInfo{MTU: 1500, below: []lower{{name: "y", joins: []string{"rx-gro"}},
				{name: "z", program: &xsk.Occupant{ID: 1, Name: "netmap_xdp", Mode: "native"}}}},
			[]string{"warn "}},
		{"team", nicInfo{MTU: 1500, facts: nicfacts.Facts{Kind: "team"}}, []string{"warn "}},
		{"VRF", nicInfo{MTU: 1500, facts: nicfacts.Facts{Kind: "vrf"}}, []string{"warn "}},
		{"loopback", nicInfo{MTU: 65536, Kind: "loopback", Link: "up"}, nil},
		{"down", nicInfo{MTU: 1500, Link: "down"}, []string{"warn ip link set dev x up"}},
		{"program", nicInfo{MTU: 1500, XDP: xdpInfo{Program: &xsk.Occupant{ID: 1 << 30, Mode: "native"}}},
			[]string{"fail ip link set dev x xdpdrv off"}},
		{"our program",
			nicInfo{MTU: 1500, XDP: xdpInfo{
				Program: &xsk.Occupant{ID: 1 << 30, Name: "netmap_xdp", Mode: "native"}}}, nil},
		{"no mode",
			nicInfo{MTU: 1500, XDP: xdpInfo{Probed: []probed{{Mode: "generic", Error: "no"}}}},
			[]string{"fail "}},
		{"veth in two namespaces",
			nicInfo{MTU: 1500, Kind: "veth"}, []string{"warn ethtool -K PEER tx off"}},
	} {
		tt.nic.Name = "x"
		tt.nic.advise()
		var got []string
		for _, f := range tt.nic.Advice {
			got = append(got, string(f.Level)+" "+f.Command)
			if f.Interface != "x" || f.Check == "" || f.Text == "" {
				t.Errorf("%s: %+v", tt.name, f)
			}
		}
		if strings.Join(got, "|") != strings.Join(tt.want, "|") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestXDPModes(t *testing.T) {
	for bits, want := range map[int]string{
		0:        "generic",
		0b11:     "generic, native copy (the driver has basic, redirect)",
		0b01:     "generic (the driver has basic)",
		0b101011: "generic, native copy, zero-copy (the driver has basic, redirect, xsk-zerocopy, rx-sg)",
	} {
		var x xdpInfo
		x.set(ethtool.XDP{Features: bits})
		if got := x.modes(); got != want {
			t.Errorf("%b: %q, want %q", bits, got, want)
		}
	}
	if got := (&xdpInfo{}).modes(); !strings.Contains(got, "--probe") {
		t.Errorf("unknown: %q", got)
	}
}

func TestMode(t *testing.T) {
	native := &ethtool.XDP{Features: ethtool.XDPBasic | ethtool.XDPRedirect}
	bond := nicfacts.Facts{Kind: "bond", XDP: native}
	card := nicfacts.Facts{XDP: native}
	fails := func(mode xsk.Mode) probed { return probed{Mode: mode.String(), Error: "no"} }
	works := func(mode xsk.Mode) probed { return probed{Mode: mode.String(), Works: true} }
	for _, tt := range []struct {
		name string
		nic  nicInfo
		want xsk.Mode
		why  string
	}{
		{"bond", nicInfo{facts: bond}, xsk.Generic, "members"},
		{"bond, tried",
			nicInfo{facts: bond, XDP: xdpInfo{
				Probed: []probed{works(xsk.Native), works(xsk.Generic)}}}, xsk.Generic, "members"},
		{"card", nicInfo{facts: card}, xsk.Native, "no zero-copy"},
		{"card, tried in vain", nicInfo{facts: card,
			XDP: xdpInfo{Probed: []probed{fails(xsk.Native), works(xsk.Generic)}}}, xsk.Generic,
			"first that works"},
		{"card that says too little", nicInfo{facts: nicfacts.Facts{XDP: &ethtool.XDP{}},
			XDP: xdpInfo{Probed: []probed{works(xsk.Native), works(xsk.Generic)}}}, xsk.Native,
			"first that works"},
		{"MTU too large",
			nicInfo{facts: card, Driver: "virtio_net", MTU: 9000}, xsk.Generic, "MTU of 3506"},
	} {
		if mode, why := tt.nic.choose(); mode != tt.want || !strings.Contains(why, tt.why) {
			t.Errorf("%s: %v, %s; want %v, %s", tt.name, mode, why, tt.want, tt.why)
		}
	}
}

func TestInfoText(t *testing.T) {
	n := nicInfo{
		Name: "eth0", Driver: "igb", MAC: "02:00:00:00:00:01", MTU: 1500, Link: "up", Speed: 1000,
		RxQueue: 2, TxQueue: 2,
		Channel: &channels{Combined: 2, MaxCombined: 8}, Slots: &slots{256, 256, 4096, 4096},
		Advice: []finding{{Text: "something is in the way", Command: "mend it"}},
		Unseen: []string{"colour: it is dark"},
	}
	n.XDP.set(ethtool.XDP{Features: 3})
	n.Mode, n.Why = "native copy", "for a reason"
	n.XDP.Program = &xsk.Occupant{ID: 7, Mode: "generic"}
	n.XDP.Probed = []probed{{Mode: "generic", Works: true}, {Mode: "zero-copy", Error: "no"}}
	want := `eth0: igb, 02:00:00:00:00:01, MTU 1500, link up, 1000 Mbit/s
  queues      2 rx and tx of at most 8
  slots       256 rx of 4096, 256 tx of 4096
  memory      ` + n.need().String() + `
  XDP         generic, native copy (the driver has basic, redirect)
              generic works
              zero-copy does not work: no
  mode        native copy: for a reason
  program     of unknown name (id 7, generic)
  in the way  something is in the way
                mend it
  not seen    colour: it is dark
`
	if got := n.text(); got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
}

// runInfo runs the command in this namespace, and returns its description of one interface.
func runInfo(t *testing.T, args ...string) (n nicInfo) {
	t.Helper()
	var out bytes.Buffer
	cmd := NewInfo()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cli.MarkUsage(cmd)
	cmd.SetOut(&out)
	cmd.SetArgs(append([]string{"--json"}, args...))
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &n); err != nil {
		t.Fatalf("%v in %s", err, out.Bytes())
	}
	return n
}

func TestInfoLoopback(t *testing.T) {
	if n := runInfo(t, "lo"); n.Name != "lo" || n.Index == 0 || n.Kind != "loopback" || n.MTU == 0 ||
		len(n.Unseen) > 0 {
		t.Errorf("%+v", n)
	}
}

func TestInfoWithoutInterface(t *testing.T) {
	cmd := NewInfo()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cli.MarkUsage(cmd)
	cmd.SetArgs([]string{"nosuch0"})
	if err := cmd.ExecuteContext(t.Context()); err == nil ||
		!strings.Contains(err.Error(), "no interface \"nosuch0\"") {
		t.Errorf("%v", err)
	}
}

func TestInfoVeth(t *testing.T) {
	ns := testutil.NewNS(t)
	testutil.Veth(t, ns, "a0", ns, "b0", 2)
	ns.Do(func() {
		n := runInfo(t, "a0", "--probe")
		if n.Driver != "veth" || n.RxQueue != 2 || n.TxQueue != 2 || n.Link != "up" || len(n.Unseen) > 0 {
			t.Errorf("%+v", n)
		}
		if len(n.Advice) != 1 || n.Advice[0].Command != "ethtool -K b0 tx off" {
			t.Errorf("advice %+v", n.Advice)
		}
		if n.XDP.Known && (!n.XDP.Native || n.XDP.ZeroCopy) {
			t.Errorf("XDP %+v", n.XDP)
		}
		if n.Mode != "native copy" || n.Why == "" {
			t.Errorf("mode %s: %s", n.Mode, n.Why)
		}
		if p := n.XDP.Probed; len(p) != 3 || p[0].Works || !p[1].Works || !p[2].Works {
			t.Errorf("probed %+v", p)
		}
	})
}
