//go:build linux

package control_test

import (
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
)

// FuzzIoctl sends any request with any bytes, from a client whose memory has any bytes, twice, and wants answers: no
// crash, and everything back in the pools when the clients are gone.
func FuzzIoctl(f *testing.F) {
	good := header(abi.ReqRegister, "vale0:a")
	good.Body, good.Options = bodyAt, 0
	body := abi.Register{Mode: abi.RegAllNIC, TxSlots: 8, RxSlots: 8, TxRings: 1, RxRings: 1, ExtraBufs: 2}
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

	w := newWorld(f)
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
			}
		}
		w.closeAll()
	})
}
