package engine

import (
	"github.com/vishvananda/netns"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/nic"
)

// NICConfig is how interfaces are opened.
type NICConfig = nic.Config

// nicKey tells interfaces of one name in several network namespaces apart.
func nicKey(name string) (string, error) {
	ns, err := netns.Get()
	if err != nil {
		return "", fault.Wrap(err, "open", name, "")
	}
	defer ns.Close()
	return name + " in " + ns.UniqueId(), nil
}
