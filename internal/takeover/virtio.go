//go:build linux

package takeover

import (
	"os"
	"strconv"
	"strings"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
)

// WishChannels returns the queues that an interface needs for netmap, nil if it can keep those that
// it has.
//
// While an XDP program is attached, virtio_net uses more queue pairs for itself, one for each
// possible processor, if that many are unused. It then receives on them as well. If all queues are
// in use, none is left for the program.
func WishChannels(driver string, now ethtool.Channels) *ethtool.Channels {
	if driver != "virtio_net" || now.Combined+possibleCPUs() > now.MaxCombined {
		return nil
	}
	now.Combined = now.MaxCombined
	return &now
}

// possibleCPUs is the number of processors for which the kernel is prepared (nr_cpu_ids).
func possibleCPUs() int {
	b, _ := os.ReadFile("/sys/devices/system/cpu/possible") // "0-3", "0,2-7"
	s := strings.TrimSpace(string(b))
	last, err := strconv.Atoi(s[strings.LastIndexAny(s, "-,")+1:])
	if err != nil {
		return 1
	}
	return last + 1
}
