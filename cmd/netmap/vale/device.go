package vale

import (
	"cmp"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/nioctl"
)

// device is a netmap device, ours or the kernel module's. All requests are part of netmap's
// interface.
type device struct {
	fd   int
	path string
}

func openDevice(path string) (*device, error) {
	fd, err := nioctl.Open(path)
	if err != nil {
		return nil, err
	}
	return &device{fd, path}, nil
}

func (d *device) Close() error { return unix.Close(d.fd) }

// request makes a request about a port. Its errors have the operation, the name and a hint.
func request[T any](d *device, kind uint16, op, name string, body *T, hints fault.Hints) error {
	h := abi.Header{Version: abi.Version, Type: kind}
	copy(h.Name[:abi.ReqNameSize-1], name)
	err := nioctl.Control(d.fd, &h, body)
	if err == nil {
		return nil
	}
	return nioctl.Explain(err, d.path, op, name, hints)
}

// port is a port of a switch.
type port struct {
	Switch  string `json:"switch"`
	Index   uint32 `json:"index"`
	Name    string `json:"name"`
	TxRings uint16 `json:"tx_rings"`
	RxRings uint16 `json:"rx_rings"`
	TxSlots uint32 `json:"tx_slots"`
	RxSlots uint32 `json:"rx_slots"`
	Header  uint32 `json:"header"`            // bytes of the virtio-net header in frames
	Memory  uint16 `json:"memory"`            // region
	Program string `json:"program,omitempty"` // that has the switch inside
	PID     int    `json:"pid,omitempty"`     // of that program
}

// list returns the ports of all switches.
func (d *device) list() (all []port, err error) {
	err = nioctl.ValePorts(d.fd, func(name string, at abi.ValeList) bool {
		all = append(all, d.describe(name, at.PortIdx))
		return true
	})
	if nioctl.IsNone(err) {
		return nil, nioctl.Explain(err, d.path, "list", "switches", nil)
	}
	if err != nil {
		return nil, fault.Wrap(err, "list", "switches",
			"the device has no VALE, or speaks another version")
	}
	slices.SortStableFunc(all, func(a, b port) int { return cmp.Compare(a.Switch, b.Switch) })
	return all, nil
}

// describe reads more about a port from the device. A port that has been closed meanwhile has no
// rings.
func (d *device) describe(name string, index uint32) port {
	p := port{Switch: switchOf(name), Index: index, Name: name}
	info, header := abi.PortInfo{}, abi.PortHdr{}
	if request(d, abi.ReqPortInfoGet, "describe", name, &info, nil) == nil {
		p.TxRings, p.RxRings, p.TxSlots, p.RxSlots, p.Memory = info.TxRings, info.RxRings, info.TxSlots,
			info.RxSlots, info.MemID
	}
	if request(d, abi.ReqPortHdrGet, "describe", name, &header, nil) == nil {
		p.Header = header.HdrLen
	}
	return p
}

func (d *device) attach(name string, host bool) (index uint32, err error) {
	body := abi.ValeAttach{Reg: abi.Register{Mode: abi.RegAllNIC}}
	if host {
		body.Reg.Mode = abi.RegNICSW
	}
	err = request(d, abi.ReqValeAttach, "attach", name, &body, fault.Hints{
		syscall.EINVAL: "there is no interface of that name here",
		syscall.ENXIO:  "there is no interface of that name here",
		syscall.EBUSY:  "a program has the interface open, or it is attached already",
		syscall.EPERM:  "netmap serve lacks the capabilities for interfaces",
		syscall.ENOMEM: "the switch is full, there are too many switches, " +
			"or the device's memory is used up: see its log",
		syscall.EOPNOTSUPP: "the device cannot do that with this interface",
	})
	return body.PortIndex, err
}

func (d *device) detach(name string) (index uint32, err error) {
	body := abi.ValeDetach{}
	err = request(d, abi.ReqValeDetach, "detach", name, &body, fault.Hints{
		syscall.ENXIO:  "no switch has a port of that name: netmap vale list",
		syscall.ENOENT: "no switch has a port of that name: netmap vale list",
		syscall.EBUSY:  "it was opened by a program, or is polled: close it, or netmap vale polling off",
	})
	return body.PortIndex, err
}

func (d *device) create(name string, wish abi.ValeNewIf) (abi.ValeNewIf, error) {
	err := request(d, abi.ReqValeNewIf, "create", name, &wish, fault.Hints{
		syscall.EEXIST: "there is an interface of that name; choose another",
		syscall.EINVAL: "it cannot be the name of an interface",
		syscall.EPERM:  "netmap serve needs CAP_NET_ADMIN for it",
		syscall.ENOMEM: "the device's memory is used up: close ports, " +
			"or give netmap serve more --buffers, --rings or --ports",
	})
	return wish, err
}

func (d *device) remove(name string) error {
	return request(d, abi.ReqValeDelIf, "delete", name, (*struct{})(nil), fault.Hints{
		syscall.ENXIO:  "there is no such interface here",
		syscall.EINVAL: "it was not made by netmap vale create",
		syscall.EBUSY:  "a program has it open, or it is attached: netmap vale detach",
	})
}

func (d *device) startPolling(name string, wish abi.ValePolling) error {
	return request(d, abi.ReqValePollingEnable, "poll", name, &wish, fault.Hints{
		syscall.ENXIO:  "no switch has a port of that name: netmap vale list",
		syscall.EFAULT: "it is polled already",
		syscall.EINVAL: "there are not so many processors or rings, " +
			"or no processor is left for other programs",
		syscall.EOPNOTSUPP: "only interfaces that are attached are polled",
	})
}

func (d *device) stopPolling(name string) error {
	return request(d, abi.ReqValePollingDisable, "stop polling", name, &abi.ValePolling{},
		fault.Hints{
			syscall.ENXIO:      "no switch has a port of that name: netmap vale list",
			syscall.EFAULT:     "it is not polled",
			syscall.EOPNOTSUPP: "only interfaces that are attached are polled",
		})
}
