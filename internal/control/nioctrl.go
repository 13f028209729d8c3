//go:build linux

package control

import (
	"slices"
	"strings"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/portname"
)

// call is a request that is being answered.
type call struct {
	client  *Client
	process Process
	version uint16
	name    string
	body    []byte
	options []*option
}

// request describes a type of NIOCCTRL request.
type request struct {
	body   int // size of the body, 0 for none
	answer func(*call) error
	locks  bool // answer takes the client's lock itself
}

// requests are all types. Those without a function do not exist yet.
var requests = [...]request{
	abi.ReqRegister:           {body: 56, answer: (*call).register},
	abi.ReqPortInfoGet:        {body: 32, answer: (*call).portInfo},
	abi.ReqValeAttach:         {body: 64, answer: (*call).valeAttach},
	abi.ReqValeDetach:         {body: 8, answer: (*call).valeDetach},
	abi.ReqValeList:           {body: 8, answer: (*call).valeList},
	abi.ReqPortHdrSet:         {body: 8, answer: (*call).setHeader},
	abi.ReqPortHdrGet:         {body: 8, answer: (*call).getHeader},
	abi.ReqValeNewIf:          {body: 16, answer: (*call).valeNewIf},
	abi.ReqValeDelIf:          {answer: (*call).valeDelIf},
	abi.ReqValePollingEnable:  {body: 16, answer: (*call).startPolling},
	abi.ReqValePollingDisable: {body: 16, answer: (*call).stopPolling},
	abi.ReqPoolsInfoGet:       {body: 64, answer: (*call).poolsInfo},
	abi.ReqSyncKloopStart:     {body: 8, answer: (*call).startLoop, locks: true},
	abi.ReqSyncKloopStop:      {answer: (*call).stopLoop, locks: true},
	abi.ReqCSBEnable:          {answer: (*call).enableCSB},
}

// control answers NIOCCTRL. Its header points to a body and a list of options in the client's
// memory. The status of options is always written back, the body only on success.
func (c *Client) control(p Process, data []byte) error {
	speak := func() error {
		c.spoken = abi.APIs[len(abi.APIs)-1]
		return nil
	}
	if err := c.locked(speak); err != nil {
		return err
	}
	h := abi.View[abi.Header](data)
	switch {
	case h.Version < abi.OldestControl || h.Version > abi.MaxVersion:
		return syscall.EINVAL
	case h.Reserved != 0:
		return syscall.EINVAL
	}
	var r request
	if int(h.Type) < len(requests) {
		r = requests[h.Type]
	}
	if (h.Body != 0) != (r.body != 0) {
		return syscall.EINVAL
	}
	k := &call{client: c, process: p, version: h.Version, name: text(h.Name[:])}
	k.body = make([]byte, r.body)
	theirs, err := k.readBody(h)
	if err != nil {
		return syscall.EFAULT
	}
	if k.options, err = readOptions(p, optionsOf(h.Version), h.Options, r.body); err == nil {
		err = k.run(h.Type, r)
	}
	if e := writeOptions(p, k.options, err == nil); err == nil {
		err = e
	}
	if err == nil && k.writeBody(h, theirs) != nil {
		err = syscall.EFAULT
	}
	clear(h.Name[copy(h.Name[:], k.name):]) // a list answers with a name
	return err
}

// readBody reads the body in the client's version, and translates it.
func (k *call) readBody(h *abi.Header) (theirs []byte, err error) {
	old, ok := abi.OldBody(h.Version, h.Type)
	switch {
	case len(k.body) == 0:
		return nil, nil
	case !ok:
		return k.body, k.process.Read(h.Body, k.body)
	}
	theirs = make([]byte, old.Size)
	err = k.process.Read(h.Body, theirs)
	old.ToNew(k.body, theirs)
	return theirs, err
}

func (k *call) writeBody(h *abi.Header, theirs []byte) error {
	if len(theirs) == 0 {
		return nil
	}
	if old, ok := abi.OldBody(h.Version, h.Type); ok {
		old.ToOld(theirs, k.body)
	}
	return k.process.Write(h.Body, theirs)
}

func (k *call) run(kind uint16, r request) error {
	switch {
	case kind == 0 || int(kind) >= len(requests):
		return syscall.EINVAL
	case r.answer == nil:
		return fault.New(syscall.EOPNOTSUPP, "control", k.name,
			"request type %d does not exist yet", kind)
	}
	if r.locks {
		return r.answer(k)
	}
	return k.client.locked(func() error { return r.answer(k) })
}

// register binds the client. It undoes that if an option fails or is not recognised.
func (k *call) register() error {
	err := k.registerWithOptions()
	if err != nil {
		return err
	}
	if o := k.option(abi.OptCSB); o != nil {
		err = k.useCSB(o)
	}
	unknown := func(o *option) bool { return o.status == syscall.EOPNOTSUPP }
	if err == nil && slices.ContainsFunc(k.options, unknown) {
		err = syscall.EOPNOTSUPP
	}
	if err != nil {
		k.client.unbind()
	}
	return err
}

func (k *call) portInfo() error {
	body := abi.View[abi.PortInfo](k.body)
	want := abi.Register{MemID: body.MemID, TxRings: body.TxRings, RxRings: body.RxRings,
		TxSlots: body.TxSlots, RxSlots: body.RxSlots,
		HostTxRings: body.HostTxRings, HostRxRings: body.HostRxRings}
	info, err := k.client.engine.PortInfo(k.process.InNetNS, k.name, want)
	if k.name == "" { // other fields stay
		body.MemSize, body.MemID = info.MemSize, info.MemID
		return err
	}
	*body = info
	return err
}

// poolsInfo describes the memory of the named port; in API 12, that of the client's port.
func (k *call) poolsInfo() error {
	if k.version == abi.OldestControl {
		info, err := k.client.ownPools()
		*abi.View[abi.PoolsInfo](k.body) = info
		return err
	}
	port, err := k.named()
	if err != nil {
		return err
	}
	info, err := k.client.engine.PoolsInfo(port.MemID)
	*abi.View[abi.PoolsInfo](k.body) = info
	return err
}

// ownPools describes the memory of the client's port. It returns EINVAL if the client is not bound.
func (c *Client) ownPools() (abi.PoolsInfo, error) {
	b := c.binding.Load()
	if b == nil {
		return abi.PoolsInfo{}, fault.New(syscall.EINVAL, "describe the memory of", "no port",
			"the descriptor is not bound yet")
	}
	return c.engine.PoolsInfo(b.Register().MemID)
}

// named returns the description of the named port. It returns an error unless the port exists or
// can be made.
func (k *call) named() (abi.PortInfo, error) {
	if k.name == "" {
		return abi.PortInfo{}, syscall.ENXIO
	}
	return k.client.engine.PortInfo(k.process.InNetNS, k.name, abi.Register{})
}

// getHeader returns the length of the virtio-net header of a port's frames.
func (k *call) getHeader() error {
	length, err := k.client.engine.Header(k.process.InNetNS, k.name)
	abi.View[abi.PortHdr](k.body).HdrLen = length
	return err
}

func (k *call) setHeader() error {
	length := abi.View[abi.PortHdr](k.body).HdrLen
	err := k.client.engine.SetHeader(k.name, length)
	k.client.log("set header", k.name, err)
	return err
}

// noPort is the index in the answer for a port that does not exist.
const noPort = 255

// valeList finds a port by name, or the first one at or after a position in the list of all ports.
func (k *call) valeList() error {
	body := abi.View[abi.ValeList](k.body)
	ports := k.client.engine.ValePorts()
	if k.name != "" {
		found, err := findValePort(ports, k.name)
		body.BridgeIdx, body.PortIdx = uint16(found.Switch), uint32(found.Index)
		return err
	}
	for _, v := range ports {
		if v.Switch > int(body.BridgeIdx) ||
			v.Switch == int(body.BridgeIdx) && v.Index >= int(body.PortIdx) {
			body.BridgeIdx, body.PortIdx = uint16(v.Switch), uint32(v.Index)
			k.name = v.Name
			return nil
		}
	}
	return syscall.ENOENT
}

// findValePort looks a port up by name. If only the switch exists, the port's index is noPort.
func findValePort(ports []engine.ValePort, name string) (engine.ValePort, error) {
	sw, _, _ := strings.Cut(name, ":")
	if !portname.OnSwitch(name) {
		return engine.ValePort{}, syscall.EINVAL
	}
	found, err := engine.ValePort{}, error(syscall.ENOENT)
	for _, v := range ports {
		if v.Name == name {
			return v, nil
		}
		if strings.HasPrefix(v.Name, sw+":") && name != sw {
			found, err = engine.ValePort{Switch: v.Switch, Index: noPort}, nil
		}
	}
	return found, err
}
