//go:build linux || freebsd

package netmap

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/nioctl"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// legacyAPI is what to speak to a device from before NIOCCTRL, or with another version of it: the first one with today's
// rings. All later ones take its requests.
const legacyAPI = 11

// isLegacy says whether a device that answered a registration with that error is one from before today's requests. There are
// several errors for a request that is unknown, all of which have other meanings, too: it tells who cannot answer the
// simplest of questions either.
func isLegacy(fd int, err error) bool {
	for _, e := range []unix.Errno{unix.EINVAL, unix.EOPNOTSUPP, unix.ENOTTY, unix.ENXIO} {
		if errors.Is(err, e) {
			return nioctl.Control(fd, &abi.Header{Version: abi.Version, Type: abi.ReqPortInfoGet}, new(abi.PortInfo)) != nil
		}
	}
	return false
}

// registerLegacy is register by NIOCREGIF.
func (d *device) registerLegacy() error {
	m, err := legacyRequest(shortName(d.name, abi.IfNameSize-1), &d.answer)
	if err != nil {
		return err
	}
	if e := nioctl.Do(d.fd, abi.NIOCREGIF, &m); e != 0 {
		return fault.Wrap(e, "open", d.name, "%s", d.registerHint(e))
	}
	a := &d.answer
	a.Offset, a.MemSize = uint64(m.Offset), uint64(m.MemSize)
	a.TxSlots, a.RxSlots, a.TxRings, a.RxRings = m.TxSlots, m.RxSlots, m.TxRings, m.RxRings
	a.HostTxRings, a.HostRxRings = 1, 1
	a.MemID, a.ExtraBufs = m.Arg2, m.Arg3
	d.legacy = true
	return nil
}

// legacyRequest is a registration as API 11 has it. Pipes were a mode and a number.
func legacyRequest(name string, r *abi.Register) (m abi.Nmreq, err error) {
	m = abi.Nmreq{
		Version: legacyAPI, TxSlots: r.TxSlots, RxSlots: r.RxSlots, TxRings: r.TxRings, RxRings: r.RxRings,
		RingID: r.RingID & abi.RingMask, Arg2: r.MemID, Arg3: r.ExtraBufs,
	}
	flags, mode := uint32(r.Flags), r.Mode
	switch {
	case mode == abi.RegDefault, mode == abi.RegPipeMaster, mode == abi.RegPipeSlave, mode > abi.RegOneSW: // some mean something there
		return m, fault.New(unix.EINVAL, "open", name, "mode %d is none", mode)
	}
	for flag, bit := range map[uint32]uint16{abi.NRNoTxPoll: abi.NoTxPoll, abi.NRDoRxPoll: abi.DoRxPoll} {
		if flags&flag != 0 {
			m.RingID |= bit
		}
	}
	if at := strings.LastIndexAny(name, "{}"); at > 0 && mode == abi.RegAllNIC {
		if id, err := strconv.ParseUint(name[at+1:], 10, 16); err == nil && id <= abi.RingMask {
			mode = map[byte]uint32{'{': abi.RegPipeMaster, '}': abi.RegPipeSlave}[name[at]]
			name, m.RingID = name[:at], m.RingID|uint16(id)
		}
	}
	if len(name) >= abi.IfNameSize {
		return m, fault.New(unix.ENAMETOOLONG, "open", name, "the device speaks API %d, in which a name has at most %d characters", legacyAPI, abi.IfNameSize-1)
	}
	copy(m.Name[:], name)
	m.Flags = flags&^(abi.NRNoTxPoll|abi.NRDoRxPoll) | mode
	return m, nil
}

// rings finds the bound rings, as shm.Rings does. On a legacy device, the interface does not say that there is a host ring in
// either direction, and may list rings that were not asked for.
func (d *device) rings(mem []byte) (tx, rx []uint64) {
	at := d.answer.Offset
	if !d.legacy {
		return shm.Rings(mem, at)
	}
	f := shm.At[abi.If](mem, at)
	ntx, nrx := int(f.TxRings), int(f.RxRings)
	offsets := shm.Slice[int64](mem, at+abi.IfSize, ntx+1+nrx+1)
	if d.answer.Flags&abi.NRRxRingsOnly == 0 {
		tx = d.asked(at, offsets[:ntx+1])
	}
	if d.answer.Flags&abi.NRTxRingsOnly == 0 {
		rx = d.asked(at, offsets[ntx+1:])
	}
	return tx, rx
}

// asked are the places of the rings of a direction, host ring last, that the request was for.
func (d *device) asked(iface uint64, offsets []int64) (at []uint64) {
	first, end := 0, len(offsets)-1
	switch d.answer.Mode {
	case abi.RegSW, abi.RegOneSW:
		first, end = end, end+1
	case abi.RegNICSW:
		end++
	case abi.RegOneNIC:
		if i := int(d.answer.RingID); i < end {
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
