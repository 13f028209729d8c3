//go:build linux

package control

import (
	"encoding/binary"
	"slices"

	"github.com/seed-48afdc40/netmap/abi"
)

var le = binary.LittleEndian

// reqSize reports whether any API has legacy requests of that size.
func reqSize(size int) bool {
	return slices.ContainsFunc(abi.APIs, func(a *abi.API) bool { return a.Req.Size == size })
}

// fields calls u32 or u16 for each field of the layout, with its offset.
func fields(l *abi.ReqLayout, m *abi.Nmreq, u32 func(at int, v *uint32),
	u16 func(at int, v *uint16)) {
	for _, f := range []struct {
		at int
		v  *uint32
	}{
		{l.Version, &m.Version}, {l.Offset, &m.Offset}, {l.MemSize, &m.MemSize}, {l.TxSlots, &m.TxSlots},
		{l.RxSlots, &m.RxSlots}, {l.Arg3, &m.Arg3}, {l.Flags, &m.Flags},
	} {
		if f.at != 0 {
			u32(f.at, f.v)
		}
	}
	for _, f := range []struct {
		at int
		v  *uint16
	}{
		{l.TxRings, &m.TxRings}, {l.RxRings, &m.RxRings}, {l.RingID, &m.RingID}, {l.Cmd, &m.Cmd},
		{l.Arg1, &m.Arg1}, {l.Arg2, &m.Arg2},
	} {
		if f.at != 0 {
			u16(f.at, f.v)
		}
	}
}

// decode reads a legacy request. Fields that its layout does not have are 0.
func decode(l *abi.ReqLayout, data []byte) (m abi.Nmreq) {
	copy(m.Name[:], data)
	fields(l, &m,
		func(at int, v *uint32) { *v = le.Uint32(data[at:]) },
		func(at int, v *uint16) { *v = le.Uint16(data[at:]) })
	return m
}

// encode writes the answer over the request. In a layout with one number of rings for both
// directions, it is the larger one.
func encode(l *abi.ReqLayout, data []byte, m *abi.Nmreq) {
	copy(data, m.Name[:])
	fields(l, m,
		func(at int, v *uint32) { le.PutUint32(data[at:], *v) },
		func(at int, v *uint16) { le.PutUint16(data[at:], *v) })
	if l.NumSlots != 0 {
		le.PutUint32(data[l.NumSlots:], m.TxSlots)
		le.PutUint16(data[l.NumRings:], max(m.TxRings, m.RxRings))
	}
}
