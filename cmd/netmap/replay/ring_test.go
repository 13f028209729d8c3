package replay

import "testing"

// Only one ring of an interface is opened: the one that sends.
func TestOneRing(t *testing.T) {
	for port, want := range map[string]string{
		"netmap:eth0": "netmap:eth0-0", "eth0": "netmap:eth0-0", "netmap:eth0-3": "netmap:eth0-3",
		"netmap:eth0^": "netmap:eth0^", "netmap:eth0/x": "netmap:eth0-0/x", "vale0:a": "vale0:a",
		"x{1": "netmap:x{1",
	} {
		o := &flags{port: port, file: "f", speed: 1, loops: 1, burst: 1}
		if err := o.check(nil); err != nil || o.name.String() != want {
			t.Errorf("%s: %v opens, want %s; %v", port, o.name, want, err)
		}
	}
}
