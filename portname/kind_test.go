package portname

import (
	"testing"
)

func TestKind(t *testing.T) {
	for name, want := range map[string]Kind{
		"eth0":           Interface,
		"netmap:eth0-3":  Interface,
		"myvale":         Interface,
		"vale0:a":        VALE,
		"valeX:a^/x":     VALE,
		"x{1":            Pipe,
		"netmap:eth0}1":  Pipe,
		"vale0:a}1-0":    Pipe,
		"vale0:a{1}2@3":  Pipe,
		"netmap:vale0:a": VALE,
	} {
		n, err := Parse(name)
		if err != nil || n.Kind() != want {
			t.Errorf("%s: kind %d, want %d (%v)", name, n.Kind(), want, err)
		}
	}
	if k := KindOf(""); k != Interface {
		t.Errorf("no name: kind %d", k)
	}
}

func TestSplitPipe(t *testing.T) {
	for _, tt := range []struct {
		port, parent, id string
		slave            bool
	}{
		{"x{1", "x", "1", false},
		{"vale0:a}12", "vale0:a", "12", true},
		{"x{1}b", "x{1", "b", true},
	} {
		parent, id, slave := SplitPipe(tt.port)
		if parent != tt.parent || id != tt.id || slave != tt.slave {
			t.Errorf("%s: %q, %q, slave %v", tt.port, parent, id, slave)
		}
	}
}
