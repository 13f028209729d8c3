//go:build linux

package nicfacts

import (
	"errors"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Below is an interface that frames of another interface come through.
type Below struct {
	Index int
	Name  string
	XDP   *netlink.LinkXdp // its XDP program; nil if the kernel reports none
}

// FindBelow finds the interfaces that frames of an interface come through, in the calling thread's
// network namespace: the members of a bond, the parent of a VLAN, and the interfaces below those.
// The other end of a veth pair is not below.
func FindBelow(index int) ([]Below, error) {
	links, err := listLinks()
	if err != nil {
		return nil, fault.Wrap(err, "list interfaces", "", "")
	}
	var found []Below
	above := []int{index}
	for len(above) > 0 {
		var next []int
		for _, l := range links {
			a := l.Attrs()
			seen := a.Index == index ||
				slices.ContainsFunc(found, func(b Below) bool { return b.Index == a.Index })
			if !seen && (slices.Contains(above, a.MasterIndex) || isParent(links, a.Index, above)) {
				found = append(found, Below{a.Index, a.Name, a.Xdp})
				next = append(next, a.Index)
			}
		}
		above = next
	}
	return found, nil
}

// listLinks lists all interfaces. If the interfaces change meanwhile, it lists them again, at most
// 5 times, and then returns the last list.
func listLinks() (links []netlink.Link, err error) {
	for range 5 {
		if links, err = netlink.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return links, err
		}
	}
	return links, nil
}

// isParent reports whether an interface is the parent of one of the interfaces in of.
func isParent(links []netlink.Link, index int, of []int) bool {
	return slices.ContainsFunc(links, func(l netlink.Link) bool {
		a := l.Attrs()
		return a.ParentIndex == index && a.NetNsID < 0 && slices.Contains(of, a.Index) &&
			l.Type() != "veth"
	})
}
