// Package status defines what a framework reports about itself, the JSON document of its status
// API, and reads it from a unix socket. Counters never decrease while a port is open.
package status

import (
	"strconv"
	"time"
)

// Status is the state of a framework at one moment.
type Status struct {
	Time     time.Time `json:"time"`              // when the status was read
	Started  time.Time `json:"started"`           // when the framework was started
	Device   string    `json:"device"`            // the device node that it serves; empty if it is inside a program
	Program  string    `json:"program,omitempty"` // the program, if there is no device
	PID      int       `json:"pid"`               // of the daemon, or the program
	Version  string    `json:"version,omitempty"` // the version of the daemon or the program
	Ports    []Port    `json:"ports"`             // by name
	Switches []Switch  `json:"switches"`          // by name
	Clients  []Client  `json:"clients"`           // by pid
	Memory   []Region  `json:"memory"`            // the framework's own first, then those that programs provided
}

// Title names the framework by its device node or program.
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
	Region     uint16            `json:"region"`               // ID of the region in which its memory is
	Users      int               `json:"users"`                // how many descriptors or programs have it open
	Interfaces []uint64          `json:"interfaces"`           // offset in the region of each user's netmap_if
	Header     uint32            `json:"header,omitempty"`     // bytes of the virtio-net header of its frames
	Attached   string            `json:"attached,omitempty"`   // what is attached to the switch as this port
	Persistent bool              `json:"persistent,omitempty"` // stays without users
	Rings      []Ring            `json:"rings"`                // tx before rx, host rings last in each direction
	Drops      map[string]uint64 `json:"drops"`                // frames lost, by reason, in the kernel's part of the port
}

// Ring is a ring of a port.
type Ring struct {
	Direction string `json:"direction"` // tx or rx, as the port's program sees it
	Index     int    `json:"ring"`
	Host      bool   `json:"host,omitempty"` // connected to the host stack
	Open      bool   `json:"open"`           // has memory and moves frames
	Slots     uint32 `json:"slots"`
	// Used is the number of slots that hold frames, as of the last sync: handed over and not sent,
	// or received and not released.
	Used   uint32            `json:"used"`
	Frames uint64            `json:"frames"` // tx: handed over by the program, including lost ones; rx: put into the ring
	Bytes  uint64            `json:"bytes"`  // of these frames, without CRC
	Drops  map[string]uint64 `json:"drops"`  // frames lost, by reason
}

// Switch is a VALE switch.
type Switch struct {
	Name      string       `json:"name"`
	Ports     []SwitchPort `json:"ports"`     // by index
	Addresses []Address    `json:"addresses"` // learned addresses, by port and address
}

// SwitchPort is a port's position on its switch.
type SwitchPort struct {
	Index int    `json:"index"`
	Name  string `json:"name"`
}

// Address is a learned MAC address and the port to which frames for it go.
type Address struct {
	MAC  string `json:"mac"`
	Port int    `json:"port"` // index of the port
}

// Client is a process that has the device open.
type Client struct {
	PID     int      `json:"pid"` // as the daemon sees it; 0 if the process is in a pid namespace that the daemon cannot see
	Command string   `json:"command"`
	Ports   []string `json:"ports"` // the bound ports, one for each descriptor
	Unbound int      `json:"unbound,omitempty"`
}

// Region is a region of memory with its pools.
type Region struct {
	ID         uint16 `json:"id"`
	Bytes      uint64 `json:"bytes"`
	Taken      uint64 `json:"taken"`             // bytes for which the system has given memory so far
	Private    bool   `json:"private,omitempty"` // provided by a program
	Interfaces Pool   `json:"interfaces"`
	Rings      Pool   `json:"rings"`
	Buffers    Pool   `json:"buffers"`
}

// Pool counts objects.
type Pool struct {
	Free  uint32 `json:"free"`
	Total uint32 `json:"total"`
}

// Used is the number of objects that are not free.
func (p Pool) Used() uint32 { return p.Total - p.Free }

// Traffic is the sum over the rings of a direction.
func (p *Port) Traffic(direction string) (frames, bytes uint64) {
	for _, r := range p.Rings {
		if r.Direction == direction {
			frames, bytes = frames+r.Frames, bytes+r.Bytes
		}
	}
	return frames, bytes
}

// AllDrops are the lost frames of the port and its rings, by reason.
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

// Label is the ring's number, followed by "^" for a host ring.
func (r *Ring) Label() string {
	if r.Host {
		return strconv.Itoa(r.Index) + "^"
	}
	return strconv.Itoa(r.Index)
}
