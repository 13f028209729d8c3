//go:build linux

package control

import (
	"fmt"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
)

// legacyRegister answers NIOCREGIF.
func (c *Client) legacyRegister(p Process, data []byte) error {
	m := abi.View[abi.Nmreq](data)
	if m.Version < abi.LegacyMin {
		return syscall.EINVAL
	}
	switch m.Cmd {
	case abi.CmdNone:
	case abi.CmdPtHostCreate, abi.CmdPtHostDelete:
		return syscall.ENOMEM
	default:
		return c.legacyCommand(p, m)
	}
	name, req := fromLegacy(m)
	if len(name) >= abi.ReqNameSize {
		return syscall.ENOMEM
	}
	if err := c.register(p, name, &req, engine.Options{}); err != nil {
		return err
	}
	toLegacy(m, &req)
	return nil
}

// toLegacy puts the answer to a registration into a legacy request.
func toLegacy(m *abi.Nmreq, req *abi.Register) {
	m.Offset, m.MemSize = uint32(req.Offset), uint32(req.MemSize)
	m.TxSlots, m.RxSlots, m.TxRings, m.RxRings = req.TxSlots, req.RxSlots, req.TxRings, req.RxRings
	m.Arg2, m.Arg3 = req.MemID, req.ExtraBufs
}

// legacyCommand answers the requests about VALE switches that nr_cmd turns NIOCREGIF into.
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
		body := abi.ValeNewIf{TxSlots: m.TxSlots, RxSlots: m.RxSlots, TxRings: m.TxRings, RxRings: m.RxRings, MemID: m.Arg2}
		err := k.with(abi.Bytes(&body), (*call).valeNewIf)
		if err == nil {
			m.TxSlots, m.RxSlots, m.TxRings, m.RxRings, m.Arg2 = body.TxSlots, body.RxSlots, body.TxRings, body.RxRings, body.MemID
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
		body := abi.ValePolling{Mode: legacyPolling[m.Flags&abi.ModeMask], FirstCPU: uint32(m.RingID & abi.RingMask), NumPollingCPUs: uint32(m.Arg1)}
		if m.Cmd == abi.CmdBdgPollingOn {
			return k.with(abi.Bytes(&body), (*call).startPolling)
		}
		return k.with(abi.Bytes(&body), (*call).stopPolling)
	}
	return syscall.EINVAL
}

// legacyPolling are the modes of polling that modes of a registration stand for.
var legacyPolling = map[uint32]uint32{abi.RegAllNIC: abi.PollingSingleCPU, abi.RegOneNIC: abi.PollingMultiCPU}

// with answers with a body that did not come from the client.
func (k *call) with(body []byte, answer func(*call) error) error {
	k.body = body
	return answer(k)
}

// fromLegacy translates a legacy request: the mode stands in the low bits of the flags, or in the bits of the ring number
// if there is none, and two modes stand for pipes, whose names are ordinary ones now.
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

// legacyInfo answers NIOCGINFO, which is two requests: a port's or the region's description, and the list of VALE ports.
func (c *Client) legacyInfo(p Process, data []byte) error {
	m := abi.View[abi.Nmreq](data)
	if m.Version < abi.LegacyMin {
		return syscall.EINVAL
	}
	name, req := fromLegacy(m)
	if m.Cmd == abi.CmdBdgList {
		return c.legacyList(m, name)
	}
	info, err := c.info(p, name, req)
	if err != nil {
		return err
	}
	m.Offset, m.MemSize = 0, uint32(info.MemSize)
	m.TxSlots, m.RxSlots, m.TxRings, m.RxRings, m.Arg2 = info.TxSlots, info.RxSlots, info.TxRings, info.RxRings, info.MemID
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
