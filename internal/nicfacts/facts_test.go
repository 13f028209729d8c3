//go:build linux

package nicfacts

import (
	"strings"
	"testing"
)

// Notes tells users what they would not expect, and nothing else.
func TestNotes(t *testing.T) {
	for _, tt := range []struct{ kind, layer, want string }{
		{"device", "ether", ""},
		{"veth", "ether", ""},
		{"device", "loopback", "does not reach itself"},
		{"tuntap", "none", "no Ethernet header"},
		{"ipip", "ipip", "no Ethernet header"},
		{"", "ppp", "no Ethernet header"},
		{"vrf", "ether", "nothing arrives here in any mode: what members of a VRF receive"},
		{"ifb", "ether", "nothing arrives here in any mode: what is redirected to an ifb"},
		{"bond", "ether", "VLAN tag"},
		{"macvlan", "ether", "VLAN tag"},
	} {
		f := Facts{Name: "x", Kind: tt.kind, Layer: tt.layer}
		if got := strings.Join(f.Notes(), "; "); (got == "") != (tt.want == "") ||
			!strings.Contains(got, tt.want) {
			t.Errorf("%s, %s: %q, want %q", tt.kind, tt.layer, got, tt.want)
		}
		if f.Bare() != (tt.want == "no Ethernet header") {
			t.Errorf("%s: bare %v", tt.layer, f.Bare())
		}
	}
}
