//go:build linux

package control

import (
	"fmt"
	"strings"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/portname"
)

// legacy answers a request of any API. It translates the request to today's, and on success
// translates the answer back.
func (c *Client) legacy(p Process, data []byte,
	answer func(*Client, Process, *abi.API, *abi.Nmreq) error) error {
	api := abi.Find(len(data), le.Uint32(data[16:]), c.policy.Variants)
	if api == nil {
		return syscall.EINVAL
	}
	c.spoken = api
	m := decode(api.Req, data)
	if !api.Sizes {
		m.TxSlots, m.RxSlots, m.TxRings, m.RxRings = 0, 0, 0, 0
	}
	arg2 := m.Arg2
	old := api.Version < abi.LegacyMin && m.Cmd != abi.CmdBdgList // these have no memory ids
	if old {
		m.Arg2 = 0
	}
	err := answer(c, p, api, &m)
	switch {
	case err == nil:
		if old {
			m.Arg2 = arg2
		}
		encode(api.Req, data, &m)
	case old && fault.Errno(err) == syscall.EOPNOTSUPP:
		err = fault.Wrap(syscall.EINVAL, "answer", text(m.Name[:]), "%v", err)
	}
	return err
}

// legacyRegister answers NIOCREGIF.
func (c *Client) legacyRegister(p Process, api *abi.API, m *abi.Nmreq) error {
	switch {
	case m.Cmd > api.MaxCmd:
		return syscall.EINVAL
	case m.Cmd == abi.CmdPtHostCreate, m.Cmd == abi.CmdPtHostDelete:
		if api.Version == 11 { // its module had this, for ports that were opened for it
			return syscall.ENXIO
		}
		return syscall.ENOMEM
	case m.Cmd == abi.CmdPoolsInfoGet:
		return c.legacyPools(p, m)
	case m.Cmd != abi.CmdNone:
		return c.legacyCommand(p, m)
	}
	name, req := fromLegacy(m)
	if len(name) >= abi.ReqNameSize {
		return syscall.ENOMEM
	}
	if err := c.bindLegacy(p, api, fullName(api, name), &req); err != nil {
		return err
	}
	toLegacy(m, &req)
	return nil
}

// bindLegacy binds the client. If the client is bound and its API allows it, bindLegacy chooses
// other rings of the port.
func (c *Client) bindLegacy(p Process, api *abi.API, name string, req *abi.Register) error {
	if b := c.binding.Load(); b != nil && b.API() == api && api.Rebind {
		b, err := b.Rebind(*req)
		c.log("choose rings", c.Port(), err)
		if err == nil {
			c.use(b)
			*req = b.Register()
		}
		return err
	}
	if api.NativeIf() && api.NativeRing() {
		api = nil
	}
	return c.register(p, name, req, engine.Options{API: api})
}

// fullName returns the present form of a port's name.
func fullName(api *abi.API, name string) string {
	if api.AnyName && portname.OnSwitch(name) && !strings.Contains(name, ":") {
		return "vale:" + name
	}
	return name
}

// legacyUnregister answers NIOCUNREGIF.
func (c *Client) legacyUnregister() error {
	switch {
	case c.spoken == nil: // only the first APIs have it as a first request
		return syscall.ENXIO
	case c.spoken.Unreg == abi.UnregUnknown:
		return syscall.EOPNOTSUPP
	case c.spoken.Unreg == abi.UnregRefused:
		return syscall.EINVAL
	case c.binding.Load() == nil:
		return syscall.ENXIO
	}
	c.unbind()
	return nil
}

// toLegacy puts the answer to a registration into a legacy request.
func toLegacy(m *abi.Nmreq, req *abi.Register) {
	m.Offset, m.MemSize = uint32(req.Offset), uint32(req.MemSize)
	m.TxSlots, m.RxSlots, m.TxRings, m.RxRings = req.TxSlots, req.RxSlots, req.TxRings, req.RxRings
	m.Arg2, m.Arg3 = req.MemID, req.ExtraBufs
}

// legacyCommand answers NIOCREGIF with an nr_cmd about VALE switches.
func (c *Client) legacyCommand(p Process, m *abi.Nmreq) error {
	k := &call{client: c, process: p, name: text(m.Name[:])}
	switch m.Cmd {
	case abi.CmdBdgAttach:
		_, reg := fromLegacy(m)
		if reg.Mode = abi.RegAllNIC; m.Arg1&abi.BdgHost != 0 {
			reg.Mode = abi.RegNICSW
		}
		body := abi.ValeAttach{Reg: reg}
		err := k.with(abi.Bytes(&body), (*call).valeAttach)
		if err == nil {
			toLegacy(m, &body.Reg)
		}
		return err
	case abi.CmdBdgDetach:
		return k.with(make([]byte, 8), (*call).valeDetach)
	case abi.CmdBdgNewIf:
		body := abi.ValeNewIf{TxSlots: m.TxSlots, RxSlots: m.RxSlots, TxRings: m.TxRings,
			RxRings: m.RxRings, MemID: m.Arg2}
		err := k.with(abi.Bytes(&body), (*call).valeNewIf)
		if err == nil {
			m.TxSlots, m.RxSlots, m.TxRings, m.RxRings = body.TxSlots, body.RxSlots,
				body.TxRings, body.RxRings
			m.Arg2 = body.MemID
		}
		return err
	case abi.CmdBdgDelIf:
		return k.with(nil, (*call).valeDelIf)
	case abi.CmdBdgVnetHdr:
		body := abi.PortHdr{HdrLen: uint32(m.Arg1)}
		return k.with(abi.Bytes(&body), (*call).setHeader)
	case abi.CmdVnetHdrGet:
		var body abi.PortHdr
		err := k.with(abi.Bytes(&body), (*call).getHeader)
		m.Arg1 = uint16(body.HdrLen)
		return err
	case abi.CmdBdgPollingOn, abi.CmdBdgPollingOff:
		body := abi.ValePolling{Mode: legacyPolling[m.Flags&abi.ModeMask],
			FirstCPU: uint32(m.RingID & abi.RingMask), NumPollingCPUs: uint32(m.Arg1)}
		if m.Cmd == abi.CmdBdgPollingOn {
			return k.with(abi.Bytes(&body), (*call).startPolling)
		}
		return k.with(abi.Bytes(&body), (*call).stopPolling)
	}
	return syscall.EINVAL
}

// legacyPools answers NETMAP_POOLS_INFO_GET of API 11. Its arguments are an address, where it
// writes numbers of 32 bits.
func (c *Client) legacyPools(p Process, m *abi.Nmreq) error {
	info, err := c.ownPools()
	if err != nil {
		return err
	}
	data := le.AppendUint32(le.AppendUint64(nil, info.MemSize), uint32(info.MemID))
	for _, pool := range []abi.PoolInfo{info.If, info.Ring, info.Buf} {
		data = le.AppendUint32(data, uint32(pool.Offset))
		data = le.AppendUint32(data, pool.ObjTotal)
		data = le.AppendUint32(data, pool.ObjSize)
	}
	return p.Write(uint64(m.Arg1)|uint64(m.Arg2)<<16|uint64(m.Arg3)<<32, data)
}

// legacyPolling maps modes of a registration to modes of polling.
var legacyPolling = map[uint32]uint32{
	abi.RegAllNIC: abi.PollingSingleCPU,
	abi.RegOneNIC: abi.PollingMultiCPU,
}

// with answers the call with a body that does not come from the client.
func (k *call) with(body []byte, answer func(*call) error) error {
	k.body = body
	return answer(k)
}

// fromLegacy translates a legacy request. The mode is in the low bits of the flags, or else in the
// bits of the ring number. Two modes mean pipes, which today have names of their own.
func fromLegacy(m *abi.Nmreq) (string, abi.Register) {
	name := text(m.Name[:])
	req := abi.Register{
		TxSlots: m.TxSlots, RxSlots: m.RxSlots, TxRings: m.TxRings, RxRings: m.RxRings,
		MemID: m.Arg2, RingID: m.RingID & abi.RingMask, ExtraBufs: m.Arg3,
		Mode: m.Flags & abi.ModeMask, Flags: uint64(m.Flags &^ abi.ModeMask),
	}
	if m.RingID&abi.NoTxPoll != 0 {
		req.Flags |= abi.NRNoTxPoll
	}
	if m.RingID&abi.DoRxPoll != 0 {
		req.Flags |= abi.NRDoRxPoll
	}
	switch {
	case req.Mode == abi.RegPipeMaster:
		name, req.Mode = fmt.Sprintf("%s{%d", name, req.RingID), abi.RegAllNIC
	case req.Mode == abi.RegPipeSlave:
		name, req.Mode = fmt.Sprintf("%s}%d", name, req.RingID), abi.RegAllNIC
	case req.Mode != abi.RegDefault:
	case m.RingID&abi.SWRing != 0:
		req.Mode = abi.RegSW
	case m.RingID&abi.HWRing != 0:
		req.Mode = abi.RegOneNIC
	default:
		req.Mode = abi.RegAllNIC
	}
	return name, req
}

// legacyInfo answers NIOCGINFO. It describes a port or the region, or lists VALE ports.
func (c *Client) legacyInfo(p Process, api *abi.API, m *abi.Nmreq) error {
	name, req := fromLegacy(m)
	name = fullName(api, name)
	if m.Cmd == abi.CmdBdgList {
		return c.legacyList(m, name)
	}
	info, err := c.engine.PortInfo(p.InNetNS, name, req)
	if err != nil {
		return err
	}
	m.MemSize, m.Arg2 = uint32(info.MemSize), info.MemID
	if name == "" && api.Version >= 5 {
		return nil // other fields stay
	}
	if api.Version < 13 {
		m.Offset = 0
	}
	m.TxSlots, m.RxSlots, m.TxRings, m.RxRings = info.TxSlots, info.RxSlots, info.TxRings, info.RxRings
	return nil
}

func (c *Client) legacyList(m *abi.Nmreq, name string) error {
	body := abi.ValeList{BridgeIdx: m.Arg1, PortIdx: uint32(m.Arg2)}
	k := &call{client: c, name: name, body: abi.Bytes(&body)}
	if err := k.valeList(); err != nil {
		return err
	}
	m.Arg1, m.Arg2 = body.BridgeIdx, uint16(body.PortIdx)
	clear(m.Name[copy(m.Name[:abi.IfNameSize-1], k.name):])
	return nil
}
