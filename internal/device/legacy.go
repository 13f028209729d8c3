//go:build linux || freebsd

package device

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/nioctl"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/portname"
)

// legacyAPI is the version for devices from before NIOCCTRL, or with another version of it. It is
// the first API with today's rings, and devices of all later APIs accept its requests.
const legacyAPI = 11

// isLegacy reports whether a device does not know today's requests. err is its answer to a
// registration. The errors for unknown requests have other meanings too. So isLegacy sends the
// simplest request, which every device that knows today's requests answers.
func isLegacy(fd int, err error) bool {
	for _, e := range []unix.Errno{unix.EINVAL, unix.EOPNOTSUPP, unix.ENOTTY, unix.ENXIO} {
		if errors.Is(err, e) {
			return nioctl.Control(fd, &abi.Header{Version: abi.Version, Type: abi.ReqPortInfoGet},
				new(abi.PortInfo)) != nil
		}
	}
	return false
}

// registerLegacy is register with a request of API 11 (NIOCREGIF).
func (p *Port) registerLegacy() error {
	m, err := legacyRequest(shortName(p.name, abi.IfNameSize-1), &p.answer)
	if err != nil {
		return err
	}
	if e := nioctl.Do(p.fd, abi.NIOCREGIF, &m); e != 0 {
		return nioctl.Explain(e, p.path, "open", p.name, openHints)
	}
	a := &p.answer
	a.Offset, a.MemSize = uint64(m.Offset), uint64(m.MemSize)
	a.TxSlots, a.RxSlots, a.TxRings, a.RxRings = m.TxSlots, m.RxSlots, m.TxRings, m.RxRings
	a.HostTxRings, a.HostRxRings = 1, 1
	a.MemID, a.ExtraBufs = m.Arg2, m.Arg3
	p.legacy = true
	return nil
}

// legacyRequest makes a registration of API 11, in which a pipe is a mode and a number.
func legacyRequest(name string, r *abi.Register) (m abi.Nmreq, err error) {
	m = abi.Nmreq{
		Version: legacyAPI, TxSlots: r.TxSlots, RxSlots: r.RxSlots,
		TxRings: r.TxRings, RxRings: r.RxRings,
		RingID: r.RingID & abi.RingMask, Arg2: r.MemID, Arg3: r.ExtraBufs,
	}
	flags, mode := uint32(r.Flags), r.Mode
	switch {
	case mode == abi.RegDefault, mode == abi.RegPipeMaster,
		mode == abi.RegPipeSlave, mode > abi.RegOneSW:
		// Some of these modes have a meaning in API 11.
		return m, fault.New(unix.EINVAL, "open", name, "mode %d does not exist", mode)
	}
	for flag, bit := range map[uint32]uint16{
		abi.NRNoTxPoll: abi.NoTxPoll, abi.NRDoRxPoll: abi.DoRxPoll,
	} {
		if flags&flag != 0 {
			m.RingID |= bit
		}
	}
	if portname.KindOf(name) == portname.Pipe && mode == abi.RegAllNIC {
		parent, pipe, slave := portname.SplitPipe(name)
		if id, err := strconv.ParseUint(pipe, 10, 16); err == nil && id <= abi.RingMask {
			mode = abi.RegPipeMaster
			if slave {
				mode = abi.RegPipeSlave
			}
			name, m.RingID = parent, m.RingID|uint16(id)
		}
	}
	if len(name) >= abi.IfNameSize {
		return m, fault.New(unix.ENAMETOOLONG, "open", name,
			"the device speaks API %d, in which a name has at most %d characters",
			legacyAPI, abi.IfNameSize-1)
	}
	copy(m.Name[:], name)
	m.Flags = flags&^(abi.NRNoTxPoll|abi.NRDoRxPoll) | mode
	return m, nil
}

// Rings finds the bound rings, as shm.Rings does. The interface (netmap_if) of a legacy device does
// not count the host ring of each direction, and may list rings that were not requested.
func (p *Port) Rings(mem []byte) (tx, rx []uint64) {
	at := p.answer.Offset
	if !p.legacy {
		return shm.Rings(mem, at)
	}
	f := shm.At[abi.If](mem, at)
	ntx, nrx := int(f.TxRings), int(f.RxRings)
	offsets := shm.Slice[int64](mem, at+abi.IfSize, ntx+1+nrx+1)
	if p.answer.Flags&abi.NRRxRingsOnly == 0 {
		tx = p.asked(at, offsets[:ntx+1])
	}
	if p.answer.Flags&abi.NRTxRingsOnly == 0 {
		rx = p.asked(at, offsets[ntx+1:])
	}
	return tx, rx
}

// asked returns the offsets of the requested rings of a direction. The host ring is the last.
func (p *Port) asked(iface uint64, offsets []int64) (at []uint64) {
	first, end := 0, len(offsets)-1
	switch p.answer.Mode {
	case abi.RegSW, abi.RegOneSW:
		first, end = end, end+1
	case abi.RegNICSW:
		end++
	case abi.RegOneNIC:
		if i := int(p.answer.RingID); i < end {
			first = i
		}
		end = min(first+1, end)
	}
	for _, ofs := range offsets[first:end] {
		if ofs != 0 {
			at = append(at, iface+uint64(ofs))
		}
	}
	return at
}
