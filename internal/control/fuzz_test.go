//go:build linux

package control_test

import (
	"bytes"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
)

// FuzzIoctl sends a request with arbitrary bytes twice, from a client whose memory has arbitrary
// bytes. It must get answers, and all objects must be back in the pools when the clients are
// closed.
func FuzzIoctl(f *testing.F) {
	good := header(abi.ReqRegister, "vale0:a")
	good.Body, good.Options = bodyAt, 0
	body := abi.Register{Mode: abi.RegAllNIC, TxSlots: 8, RxSlots: 8, TxRings: 1,
		RxRings: 1, ExtraBufs: 2}
	legacy := abi.Nmreq{Version: 11, TxSlots: 8, RxSlots: 8}
	copy(legacy.Name[:], "x")
	f.Add(uint32(abi.NIOCCTRL), abi.Bytes(&good), abi.Bytes(&body), []byte{})
	option := abi.Option{Type: abi.OptExtmem, Next: optionsAt}
	good.Options = optionsAt
	f.Add(uint32(abi.NIOCCTRL), abi.Bytes(&good), abi.Bytes(&body), abi.Bytes(&option))
	for kind := range uint16(17) {
		good.Type = kind
		f.Add(uint32(abi.NIOCCTRL), abi.Bytes(&good), abi.Bytes(&body), abi.Bytes(&option))
	}
	f.Add(uint32(abi.NIOCREGIF), abi.Bytes(&legacy), []byte{}, []byte{})
	f.Add(uint32(abi.NIOCGINFO), abi.Bytes(&legacy), []byte{}, []byte{})
	f.Add(uint32(abi.NIOCCONFIG), make([]byte, 272), []byte{}, []byte{})
	f.Add(uint32(abi.NIOCTXSYNC), []byte{}, []byte{}, []byte{})

	for _, api := range abi.APIs { // every size and version
		data := oldRequest(api, "vale0:a", 0)
		for _, request := range []uint32{abi.NIOCREGIF, abi.NIOCGINFO, abi.NIOCUNREGIF} {
			f.Add(number(api, request), data, []byte{}, []byte{})
		}
		f.Add(number(api, abi.NIOCREGIF), bytes.Repeat([]byte{0xff}, len(data)), []byte{}, []byte{})
	}
	for size := range uint32(100) {
		f.Add(abi.NIOCREGIF&^abi.SizeMask|size<<16, make([]byte, size), []byte{}, []byte{})
	}
	for _, version := range []uint16{11, 12, 13, 16} {
		for kind := range uint16(17) {
			good.Version, good.Type, good.Options = version, kind, 0
			f.Add(uint32(abi.NIOCCTRL), abi.Bytes(&good), bytes.Repeat([]byte{1}, 64), []byte{})
		}
	}

	w := newRoomy(f)
	f.Fuzz(func(t *testing.T, request uint32, data, body, options []byte) {
		w.t = t
		p := newProcess()
		copy(p.at(bodyAt, 0x800), body)
		copy(p.at(optionsAt, 0x4000), options)
		for range 2 {
			c := w.client()
			for range 2 {
				c.Ioctl(p, request, append([]byte(nil), data...))
				c.Poll(newProcess(), 0x45)
				c.Ioctl(p, abi.NIOCTXSYNC, nil)
				c.Ioctl(p, abi.NIOCRXSYNC, nil)
				c.Ioctl(p, abi.NIOCUNREGIF, nil)
			}
		}
		w.closeAll()
	})
}
