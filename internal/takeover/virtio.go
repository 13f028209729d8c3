//go:build linux

package takeover

import (
	"os"
	"strconv"
	"strings"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
)

// WishChannels are the queues that an interface of a driver has to have for netmap, nil for those it has.
//
// virtio_net takes as many queue pairs more as there can be processors for its own use while an XDP program is attached,
// if it has that many left, and then receives on them as well. With all queues in use it has none left to take.
func WishChannels(driver string, now ethtool.Channels) *ethtool.Channels {
	if driver != "virtio_net" || now.Combined+possibleCPUs() > now.MaxCombined {
		return nil
	}
	now.Combined = now.MaxCombined
	return &now
}

// possibleCPUs is how many processors the kernel is prepared for. // nr_cpu_ids
func possibleCPUs() int {
	b, _ := os.ReadFile("/sys/devices/system/cpu/possible") // "0-3", "0,2-7"
	s := strings.TrimSpace(string(b))
	last, err := strconv.Atoi(s[strings.LastIndexAny(s, "-,")+1:])
	if err != nil {
		return 1
	}
	return last + 1
}
