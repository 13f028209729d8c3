// Package status is what a running framework tells about itself: the JSON document of its status API, and how to ask for it.
// Counters only grow, for as long as a port is open.
package status

import (
	"strconv"
	"time"
)

// Status is the framework at one moment.
type Status struct {
	Time     time.Time `json:"time"`              // when it was taken
	Started  time.Time `json:"started"`           // when the framework was
	Device   string    `json:"device"`            // the device node that it serves; empty if it is inside a program
	Program  string    `json:"program,omitempty"` // that program
	PID      int       `json:"pid"`               // of the daemon, or the program
	Version  string    `json:"version,omitempty"` // of the daemon, or the program
	Ports    []Port    `json:"ports"`             // by name
	Switches []Switch  `json:"switches"`          // by name
	Clients  []Client  `json:"clients"`           // by pid
	Memory   []Region  `json:"memory"`            // the framework's own first, then those that programs brought
}

// Title says what the framework is: a device node, or a program.
func (s *Status) Title() string {
	if s.Device == "" {
		return s.Program
	}
	return "netmap " + s.Device
}

// Port is a port that is open, attached to a switch, or persistent.
type Port struct {
	Name       string            `json:"name"`                 // as it is opened, on its switch if it is on one
	Kind       string            `json:"kind"`                 // nic, vale, pipe, monitor or null
	NetNS      string            `json:"netns,omitempty"`      // of an interface: the inode number of its network namespace
	Detail     string            `json:"detail,omitempty"`     // of an interface, the AF_XDP mode; of a monitor, what it sees
	Region     uint16            `json:"region"`               // where its memory is
	Users      int               `json:"users"`                // how many have it open
	Interfaces []uint64          `json:"interfaces"`           // where in its region each of them has its netmap_if
	Header     uint32            `json:"header,omitempty"`     // bytes of the virtio-net header of its frames
	Attached   string            `json:"attached,omitempty"`   // what is attached to the switch as this port
	Persistent bool              `json:"persistent,omitempty"` // it stays without users
	Rings      []Ring            `json:"rings"`                // tx before rx, host rings last in each direction
	Drops      map[string]uint64 `json:"drops"`                // frames lost, by reason, in the kernel's part of the port
}

// Ring is a ring of a port.
type Ring struct {
	Direction string            `json:"direction"` // tx or rx, as the port's program sees it
	Index     int               `json:"ring"`
	Host      bool              `json:"host,omitempty"` // it leads to the host stack
	Open      bool              `json:"open"`           // it has memory and moves frames
	Slots     uint32            `json:"slots"`
	Used      uint32            `json:"used"`   // slots that hold frames, as of the last sync: sent and not out yet, or received and not released
	Frames    uint64            `json:"frames"` // tx: handed over by the program, lost ones too; rx: put into the ring
	Bytes     uint64            `json:"bytes"`  // of these frames, without CRC
	Drops     map[string]uint64 `json:"drops"`  // frames lost, by reason
}

// Switch is a VALE switch.
type Switch struct {
	Name      string       `json:"name"`
	Ports     []SwitchPort `json:"ports"`     // by index
	Addresses []Address    `json:"addresses"` // that it has learned, by port and address
}

// SwitchPort is where a port is on its switch.
type SwitchPort struct {
	Index int    `json:"index"`
	Name  string `json:"name"`
}

// Address is where frames to a MAC address go.
type Address struct {
	MAC  string `json:"mac"`
	Port int    `json:"port"` // its index
}

// Client is a process that has the device open.
type Client struct {
	PID     int      `json:"pid"` // as the daemon sees it; 0 for one of a pid namespace that it does not see
	Command string   `json:"command"`
	Ports   []string `json:"ports"` // that it has bound, one for each descriptor
	Unbound int      `json:"unbound,omitempty"`
}

// Region is memory with its pools.
type Region struct {
	ID         uint16 `json:"id"`
	Bytes      uint64 `json:"bytes"`
	Taken      uint64 `json:"taken"`             // bytes for which the system has given memory so far
	Private    bool   `json:"private,omitempty"` // a program brought it
	Interfaces Pool   `json:"interfaces"`
	Rings      Pool   `json:"rings"`
	Buffers    Pool   `json:"buffers"`
}

// Pool counts objects.
type Pool struct {
	Free  uint32 `json:"free"`
	Total uint32 `json:"total"`
}

// Used is how many are taken.
func (p Pool) Used() uint32 { return p.Total - p.Free }

// Traffic is the sum of the rings of a direction.
func (p *Port) Traffic(direction string) (frames, bytes uint64) {
	for _, r := range p.Rings {
		if r.Direction == direction {
			frames, bytes = frames+r.Frames, bytes+r.Bytes
		}
	}
	return frames, bytes
}

// AllDrops are the losses by reason, of the port and its rings.
func (p *Port) AllDrops() map[string]uint64 {
	all := map[string]uint64{}
	add := func(drops map[string]uint64) {
		for why, n := range drops {
			all[why] += n
		}
	}
	add(p.Drops)
	for _, r := range p.Rings {
		add(r.Drops)
	}
	return all
}

// Label is the ring's number, with a "^" behind that of a host ring.
func (r *Ring) Label() string {
	if r.Host {
		return strconv.Itoa(r.Index) + "^"
	}
	return strconv.Itoa(r.Index)
}
