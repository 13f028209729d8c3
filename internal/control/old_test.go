//go:build linux

package control_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/control"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/session"
)

var le = binary.LittleEndian

// roomy is small with buffers of the size that the first APIs' programs require.
var roomy = mem.Config{If: small.If, Ring: mem.Pool{Num: 256, Size: 36864},
	Buf: mem.Pool{Num: 8192, Size: 2048}, NoHuge: true}

func newRoomy(t testing.TB) *world {
	t.Helper()
	e, err := engine.New(engine.Config{Region: roomy})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, engine: e}
	t.Cleanup(func() {
		w.closeAll()
		e.Close()
	})
	return w
}

func apiOf(label string) *abi.API {
	return abi.APIs[slices.IndexFunc(abi.APIs, func(a *abi.API) bool { return a.Label == label })]
}

// policyOf returns the policy under which requests are of that API.
func policyOf(api *abi.API) control.Policy {
	return control.Policy{Variants: abi.Variants{Page: api.Label == "A0p", Slots8: api.Label == "A4a"}}
}

// number returns the number of NIOCGINFO or NIOCREGIF in an API.
func number(api *abi.API, request uint32) uint32 {
	return request&^abi.SizeMask | uint32(api.Req.Size)<<16
}

// oldRequest makes a request in which all bytes that the API does not use are set.
func oldRequest(api *abi.API, name string, ringid uint16) []byte {
	data := bytes.Repeat([]byte{0xa5}, api.Req.Size)
	copy(data, make([]byte, 16))
	copy(data, name)
	l := api.Req
	for _, at := range []int{l.Cmd, l.Arg1, l.Arg2, l.TxRings, l.RxRings} {
		if at != 0 && (api.Sizes || at < l.TxRings || at > l.RxRings) {
			le.PutUint16(data[at:], 0)
		}
	}
	if api.Sizes {
		le.PutUint32(data[l.TxSlots:], 64)
		le.PutUint32(data[l.RxSlots:], 32)
	}
	if l.Version != 0 {
		le.PutUint32(data[l.Version:], api.Version)
	}
	if l.Flags != 0 {
		le.PutUint32(data[l.Arg3:], 0)
		le.PutUint32(data[l.Flags:], 0)
	}
	le.PutUint16(data[l.RingID:], ringid)
	return data
}

// TestOldRequests tests that each API gets its answer in its layout, and that all other bytes stay.
func TestOldRequests(t *testing.T) {
	for _, api := range abi.APIs {
		t.Run(api.Label, func(t *testing.T) {
			w := newRoomy(t)
			policy := policyOf(api)
			c := w.clientWith(policy)
			for _, request := range []uint32{abi.NIOCREGIF, abi.NIOCGINFO} {
				data := oldRequest(api, "vale0:a", 0)
				want := slices.Clone(data)
				wantErrno(t, "answer", c.Ioctl(newProcess(), number(api, request), data), ok)
				tx, rx := uint32(1024), uint32(1024)
				if api.Sizes {
					tx, rx = 64, 32
				}
				l := api.Req
				copy(want[l.Offset:l.Offset+4], data[l.Offset:])
				untouched := map[bool]uint32{true: 0xa5a5a5a5}[api.Version >= 13]
				if offset := le.Uint32(data[l.Offset:]); request == abi.NIOCGINFO && offset != untouched {
					t.Errorf("offset %#x in NIOCGINFO, want %#x", offset, untouched)
				}
				le.PutUint32(want[l.MemSize:], uint32(w.engine.Region().Size()))
				if l.NumSlots != 0 {
					le.PutUint32(want[l.NumSlots:], tx)
					le.PutUint16(want[l.NumRings:], 1)
				} else {
					le.PutUint32(want[l.TxSlots:], tx)
					le.PutUint32(want[l.RxSlots:], rx)
					le.PutUint16(want[l.TxRings:], 1)
					le.PutUint16(want[l.RxRings:], 1)
				}
				if l.Flags != 0 {
					le.PutUint16(want[l.Arg2:], w.engine.Region().ID())
				}
				if !bytes.Equal(data, want) {
					t.Errorf("request %#x:\ngot  %x\nwant %x", request, data, want)
				}
			}
			wantInterface(t, w, api, c, "vale0:a")
		})
	}
}

// wantInterface checks the netmap_if of a binding to one ring pair: name, numbers and offsets, as
// far as the API has them.
func wantInterface(t *testing.T, w *world, api *abi.API, c *control.Client, name string) {
	t.Helper()
	second := w.clientWith(policyOf(api))
	data := oldRequest(api, name, 0)
	wantErrno(t, "second binding", second.Ioctl(newProcess(), number(api, abi.NIOCREGIF), data), ok)
	m := w.engine.Region().Bytes()[le.Uint32(data[api.Req.Offset:]):]
	if got := string(m[:len(name)]); got != name {
		t.Errorf("ni_name is %q", got)
	}
	l := api.If
	for _, at := range []int{l.NumQueues, l.TxRings, l.RxRings} {
		if at != 0 && le.Uint32(m[at:]) != 1 {
			t.Errorf("%d rings at %d", le.Uint32(m[at:]), at)
		}
	}
	for i := range 4 {
		ofs := int64(le.Uint64(m[l.Size+8*i:]))
		if host := i%2 == 1; (ofs == 0) != (host && api.NativeRing()) {
			t.Errorf("ring_ofs[%d] is %d", i, ofs)
		} else if ofs != 0 && le.Uint32(m[ofs+8:]) < 2 {
			t.Errorf("ring %d has %d slots", i, le.Uint32(m[ofs+8:]))
		}
	}
}

// clientWith returns a client with another policy.
func (w *world) clientWith(p control.Policy) *control.Client {
	c := control.New(w.engine, p, &waker{}, func(string, string, error) {})
	w.clients = append(w.clients, c)
	return c
}

func TestOldErrors(t *testing.T) {
	hw := func(i uint16) uint16 { return abi.HWRing | i }
	for _, tt := range []struct {
		what   string
		api    string
		name   string
		ringid uint16
		change func(*abi.ReqLayout, []byte)
		want   syscall.Errno
	}{
		{"one ring", "A0", "vale0:a", hw(0), nil, ok},
		{"no such ring", "A0", "vale0:a", hw(1), nil, syscall.EINVAL},
		{"host rings of a switch", "A0", "vale0:a", abi.SWRing, nil, syscall.EINVAL},
		{"host rings win", "A1", "vale0:a", abi.SWRing | hw(0), nil, syscall.EINVAL},
		{"no interface", "A2", "nosuchif0", 0, nil, syscall.ENXIO},
		{"no name", "A3", "", 0, nil, syscall.ENXIO},
		{"a name without a colon", "A3", "vale7", 0, nil, ok},
		{"the same, later", "A11", "vale7", 0, nil, syscall.ENOMEM},
		{"no tx poll", "A5", "vale0:a", abi.NoTxPoll, nil, ok},
		{"a command of later", "A4b", "vale0:a", 0,
			func(l *abi.ReqLayout, d []byte) { d[l.Cmd] = 5 }, syscall.EINVAL},
		{"a command that there never was", "A10", "vale0:a", 0,
			func(l *abi.ReqLayout, d []byte) { d[l.Cmd] = 6 }, syscall.EINVAL},
		{"attach no interface", "A5", "vale0:nosuchif0", 0,
			func(l *abi.ReqLayout, d []byte) { d[l.Cmd] = abi.CmdBdgAttach }, syscall.EINVAL},
		{"detach no interface", "A10", "vale0:nosuchif0", 0,
			func(l *abi.ReqLayout, d []byte) { d[l.Cmd] = abi.CmdBdgDetach }, syscall.ENXIO},
		{"API 1", "A3", "vale0:a", 0, func(l *abi.ReqLayout, d []byte) { d[l.Version] = 1 },
			syscall.EINVAL},
		{"API 9", "A3", "vale0:a", 0, func(l *abi.ReqLayout, d []byte) { d[l.Version] = 9 },
			syscall.EINVAL},
	} {
		t.Run(tt.what, func(t *testing.T) {
			w, api := newRoomy(t), apiOf(tt.api)
			data := oldRequest(api, tt.name, tt.ringid)
			if tt.change != nil {
				tt.change(api.Req, data)
			}
			before := slices.Clone(data)
			e := w.client().Ioctl(newProcess(), number(api, abi.NIOCREGIF), data)
			wantErrno(t, "answer", e, tt.want)
			if e != 0 && !bytes.Equal(data, before) {
				t.Error("a failed request was changed")
			}
		})
	}
}

// TestOldSecondRequests tests what a bound descriptor may do: choose other rings, in APIs before
// 11, but not as a program of another API.
func TestOldSecondRequests(t *testing.T) {
	for _, api := range abi.APIs {
		t.Run(api.Label, func(t *testing.T) {
			w := newRoomy(t)
			c := w.clientWith(policyOf(api))
			register := func(api *abi.API, ringid uint16) syscall.Errno {
				return c.Ioctl(newProcess(), number(api, abi.NIOCREGIF), oldRequest(api, "vale0:a", ringid))
			}
			wantErrno(t, "first", register(api, 0), ok)
			again, wrong := syscall.EBUSY, syscall.EBUSY
			if api.Rebind {
				again, wrong = ok, syscall.EINVAL
			}
			wantErrno(t, "a ring", register(api, abi.HWRing), again)
			wantErrno(t, "no such ring", register(api, abi.HWRing|1), wrong)
			wantErrno(t, "sync", c.Ioctl(newProcess(), abi.NIOCTXSYNC, nil), ok)
			if got := c.Poll(newProcess(), session.PollOut); got != session.PollOut {
				t.Errorf("poll returns %#x", got)
			}
			for _, other := range []string{"A0", "A5", "A10", "A14"} {
				if o := apiOf(other); o != api && (o.Version != 0 || o.Req != api.Req) {
					wantErrno(t, "as "+other, register(apiOf(other), 0), syscall.EBUSY)
				}
			}
			_, _, e := ask(c, newProcess(), abi.ReqRegister, "vale0:a", abi.Register{Mode: abi.RegAllNIC})
			wantErrno(t, "by NIOCCTRL", e, syscall.EBUSY)
		})
	}
}

func TestUnregister(t *testing.T) {
	for label, want := range map[string][2]syscall.Errno{ // bound, unbound
		"A0": {ok, syscall.ENXIO}, "A1": {ok, syscall.ENXIO}, "A2": {ok, syscall.ENXIO},
		"A3":  {ok, syscall.ENXIO},
		"A4b": {syscall.EINVAL, syscall.EINVAL}, "A5": {syscall.EINVAL, syscall.EINVAL},
		"A10": {syscall.EOPNOTSUPP, syscall.EOPNOTSUPP}, "A14": {syscall.EOPNOTSUPP, syscall.EOPNOTSUPP},
	} {
		w, api := newRoomy(t), apiOf(label)
		c := w.client()
		c.Ioctl(newProcess(), number(api, abi.NIOCGINFO), oldRequest(api, "", 0))
		wantErrno(t, label+", unbound", c.Ioctl(newProcess(), abi.NIOCUNREGIF, nil), want[1])
		for range 2 {
			e := c.Ioctl(newProcess(), number(api, abi.NIOCREGIF), oldRequest(api, "vale0:a", 0))
			if e != ok && (want[0] == ok || e != syscall.EBUSY && !api.Rebind) {
				t.Errorf("%s: register: %v", label, e)
			}
			wantErrno(t, label+", bound", c.Ioctl(newProcess(), abi.NIOCUNREGIF, nil), want[0])
			sync := ok
			if want[0] == ok {
				sync = syscall.ENXIO
			}
			wantErrno(t, label+", sync afterwards", c.Ioctl(newProcess(), abi.NIOCTXSYNC, nil), sync)
		}
	}
}

// TestLegacyOnly tests a device that behaves as before NIOCCTRL.
func TestLegacyOnly(t *testing.T) {
	w := newRoomy(t)
	c := w.clientWith(control.Policy{LegacyOnly: true})
	_, _, e := ask(c, newProcess(), abi.ReqRegister, "vale0:a", abi.Register{Mode: abi.RegAllNIC})
	wantErrno(t, "NIOCCTRL", e, syscall.EOPNOTSUPP)
	api := apiOf("A11")
	wantErrno(t, "NIOCREGIF", c.Ioctl(newProcess(), number(api, abi.NIOCREGIF),
		oldRequest(api, "vale0:a", 0)), ok)
}

// TestOldBodies tests that bodies of API 12 and 13 have their own sizes: what follows 48 bytes in a
// client's memory stays.
func TestOldBodies(t *testing.T) {
	const guard = 0xee
	for version, l := range map[uint16]struct{ size, memID, ringid, mode, extra, flags int }{
		12: {56, 28, 30, 32, 48, 40},
		13: {48, 28, 30, 32, 36, 40},
	} {
		w, p := newWorld(t), newProcess()
		body := p.at(bodyAt, 128)
		copy(body, bytes.Repeat([]byte{guard}, len(body)))
		clear(body[:l.size])
		le.PutUint32(body[16:], 8)
		le.PutUint32(body[20:], 16)
		le.PutUint16(body[24:], 2)
		le.PutUint16(body[26:], 3)
		le.PutUint16(body[l.ringid:], 1)
		le.PutUint32(body[l.mode:], abi.RegOneNIC)
		le.PutUint32(body[l.extra:], 5)
		le.PutUint64(body[l.flags:], abi.NRRxRingsOnly)
		h := header(abi.ReqRegister, "vale0:a")
		h.Version, h.Body = version, bodyAt
		wantErrno(t, "register", w.client().Ioctl(p, abi.NIOCCTRL, abi.Bytes(&h)), ok)
		if le.Uint64(body[8:]) != w.engine.Region().Size() || le.Uint16(body[24:]) != 2 ||
			le.Uint16(body[26:]) != 3 ||
			le.Uint32(body[16:]) != 8 || le.Uint32(body[20:]) != 16 || le.Uint16(body[l.memID:]) != 1 ||
			le.Uint32(body[l.extra:]) != 5 {
			t.Errorf("API %d: answer %x", version, body[:l.size])
		}
		if tx, rx := boundRings(w, uint32(le.Uint64(body))); tx != 0 || rx != 1 {
			t.Errorf("API %d: %d tx and %d rx rings are bound", version, tx, rx)
		}
		if !bytes.Equal(body[l.size:], bytes.Repeat([]byte{guard}, len(body)-l.size)) {
			t.Errorf("API %d: bytes after the body were changed: %x", version, body[l.size:])
		}
		clear(body)
		h.Type, h.Options = abi.ReqPortInfoGet, put(p, optionsAt, abi.Option{Type: noOption})
		wantErrno(t, "options", w.client().Ioctl(p, abi.NIOCCTRL, abi.Bytes(&h)), ok)
		if got := get[abi.Option](p, optionsAt).Status; got != uint32(syscall.EOPNOTSUPP) {
			t.Errorf("API %d: nro_status of an unknown option is %d", version, got)
		}
	}
}

// ask12 makes a request as a program of API 12, whose option headers have 16 bytes.
func ask12(c *control.Client, p *process, kind uint16, name string, options uint64) syscall.Errno {
	h := header(kind, name)
	h.Version, h.Body, h.Options = 12, bodyAt, options
	return c.Ioctl(p, abi.NIOCCTRL, abi.Bytes(&h))
}

func TestOptionsOfAPI12(t *testing.T) {
	const none = syscall.EOPNOTSUPP
	option := func(p *process, at, next uint64, kind uint32) {
		o := p.at(at, 24)
		le.PutUint64(o, next)
		le.PutUint32(o[8:], kind)
		le.PutUint32(o[12:], 4711)
		le.PutUint64(o[16:], 0xfeedface) // the bytes after it are not the option's
	}
	for _, tt := range []struct {
		what  string
		kind  uint16
		types []uint32
		want  syscall.Errno
		stats []syscall.Errno
	}{
		{"an unknown option", abi.ReqRegister, []uint32{noOption}, none, []syscall.Errno{none}},
		{"type 0", abi.ReqRegister, []uint32{0}, none, []syscall.Errno{none}},
		{"one of later", abi.ReqRegister, []uint32{abi.OptCSB, abi.OptOffsets}, none,
			[]syscall.Errno{none, none}},
		{"a request without options", abi.ReqPortInfoGet, []uint32{noOption, abi.OptCSB, 0}, ok,
			[]syscall.Errno{none, none, none}},
		{"memory that is not there", abi.ReqRegister, []uint32{abi.OptExtmem}, syscall.EFAULT,
			[]syscall.Errno{syscall.EFAULT}},
		{"the same twice", abi.ReqRegister, []uint32{abi.OptExtmem, abi.OptExtmem}, syscall.EINVAL,
			[]syscall.Errno{syscall.EINVAL, syscall.EINVAL}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			w, p := newWorld(t), newProcess()
			body := p.at(bodyAt, 56)
			clear(body)
			le.PutUint32(body[16:], 8)
			le.PutUint32(body[20:], 8)
			le.PutUint32(body[32:], abi.RegAllNIC)
			for i, kind := range tt.types {
				at, next := uint64(optionsAt+i*0x400), uint64(0)
				if i+1 < len(tt.types) {
					next = at + 0x400
				}
				option(p, at, next, kind)
			}
			c := w.client()
			wantErrno(t, "answer", ask12(c, p, tt.kind, "vale0:a", optionsAt), tt.want)
			for i, want := range tt.stats {
				o := p.at(uint64(optionsAt+i*0x400), 24)
				if got := le.Uint32(o[12:]); got != uint32(want) {
					t.Errorf("status %d is %d, want %d", i, got, want)
				}
				if le.Uint64(o[16:]) != 0xfeedface {
					t.Error("bytes after the header were changed")
				}
			}
			if tt.kind == abi.ReqRegister {
				wantErrno(t, "sync afterwards", c.Ioctl(p, abi.NIOCTXSYNC, nil), syscall.ENXIO)
			}
		})
	}
}

// TestOldPoolsInfo tests POOLS_INFO_GET. Until October 2018 it described the memory of the bound
// descriptor, whatever the name. API 11 had it as a command.
func TestOldPoolsInfo(t *testing.T) {
	w, p := newRoomy(t), newProcess()
	c := w.client()
	wantErrno(t, "API 12, unbound", ask12(c, p, abi.ReqPoolsInfoGet, "vale0:a", 0), syscall.EINVAL)
	api := apiOf("A11")
	command := func(api *abi.API, addr uint64) syscall.Errno {
		data := oldRequest(api, "whatever", 0)
		le.PutUint16(data[api.Req.Cmd:], abi.CmdPoolsInfoGet)
		le.PutUint64(data[api.Req.Arg1:], addr)
		before := slices.Clone(data)
		e := c.Ioctl(p, number(api, abi.NIOCREGIF), data)
		if !bytes.Equal(data, before) {
			t.Error("the request has changed")
		}
		return e
	}
	wantErrno(t, "API 11, unbound", command(api, bodyAt), syscall.EINVAL)
	wantErrno(t, "bind", c.Ioctl(p, number(api, abi.NIOCREGIF), oldRequest(api, "vale0:a", 0)), ok)
	want := w.engine.Region().Info()
	wantErrno(t, "API 12, bound", ask12(c, p, abi.ReqPoolsInfoGet, "nosuchif0", 0), ok)
	if got := get[abi.PoolsInfo](p, bodyAt); got != want {
		t.Errorf("API 12: %+v, want %+v", got, want)
	}
	wantErrno(t, "API 11, bound", command(api, bodyAt), ok)
	m := p.at(bodyAt, 48)
	got := abi.PoolsInfo{MemSize: le.Uint64(m), MemID: uint16(le.Uint32(m[8:]))}
	for i, pool := range []*abi.PoolInfo{&got.If, &got.Ring, &got.Buf} {
		*pool = abi.PoolInfo{Offset: uint64(le.Uint32(m[12+12*i:])), ObjTotal: le.Uint32(m[16+12*i:]),
			ObjSize: le.Uint32(m[20+12*i:])}
	}
	if got != want {
		t.Errorf("API 11: %+v, want %+v", got, want)
	}
	wantErrno(t, "API 11, no memory", command(api, 8), syscall.EFAULT)
	wantErrno(t, "API 14", command(apiOf("A14"), bodyAt), syscall.EINVAL)
}

// TestUnregisterFirst tests NIOCUNREGIF, which is the same in all APIs. As the first request of a
// descriptor it comes from a program of 2011.
func TestUnregisterFirst(t *testing.T) {
	w := newRoomy(t)
	c := w.client()
	wantErrno(t, "first", c.Ioctl(newProcess(), abi.NIOCUNREGIF, nil), syscall.ENXIO)
	_, _, e := ask(c, newProcess(), abi.ReqPortInfoGet, "vale0:a", abi.PortInfo{})
	wantErrno(t, "NIOCCTRL", e, ok)
	wantErrno(t, "after NIOCCTRL", c.Ioctl(newProcess(), abi.NIOCUNREGIF, nil), syscall.EOPNOTSUPP)
	w.bind(c, "vale0:a")
	wantErrno(t, "bound by NIOCCTRL", c.Ioctl(newProcess(), abi.NIOCUNREGIF, nil), syscall.EOPNOTSUPP)
}

// TestOldCommands tests the answers of NIOCREGIF to each nr_cmd about a port that does not exist,
// on a bound and on an unbound descriptor.
func TestOldCommands(t *testing.T) {
	const inval, nxio, nomem = syscall.EINVAL, syscall.ENXIO, syscall.ENOMEM
	for _, tt := range []struct {
		apis    string
		unbound [15]syscall.Errno // from 1 on; 0 is a registration
	}{
		{"A4a A4b", [15]syscall.Errno{1: inval, nxio, inval, inval, inval, inval, inval, inval, inval,
			inval, inval, inval, inval, inval}},
		{"A5 A10", [15]syscall.Errno{1: inval, nxio, inval, inval, nxio, inval, inval, inval, inval,
			inval, inval, inval, inval, inval}},
		{"A11", [15]syscall.Errno{1: inval, nxio, inval, inval, nxio, inval, nxio, nxio, nxio, nxio, nxio,
			nxio, inval, inval}},
		{"A12 A13 A14", [15]syscall.Errno{1: inval, nxio, inval, inval, nxio, inval, nxio, nomem, nomem,
			nxio, nxio, nxio, inval, inval}},
	} {
		for _, label := range strings.Fields(tt.apis) {
			checkOldCommands(t, apiOf(label), tt.unbound)
		}
	}
}

// checkOldCommands tests the answers of one API to each nr_cmd. The caller gives those on an
// unbound descriptor. On a bound one, only API 11 differs, in one command.
func checkOldCommands(t *testing.T, api *abi.API, unbound [15]syscall.Errno) {
	t.Helper()
	w := newRoomy(t)
	free, bound := w.clientWith(policyOf(api)), w.clientWith(policyOf(api))
	wantErrno(t, api.Label, bound.Ioctl(newProcess(), number(api, abi.NIOCREGIF),
		oldRequest(api, "vale1:mine", 0)), ok)
	for cmd := 1; cmd < len(unbound); cmd++ {
		for who, c := range map[string]*control.Client{"unbound": free, "bound": bound} {
			data, want := oldRequest(api, "vale0:nosuchif0", 0), unbound[cmd]
			data[api.Req.Cmd] = byte(cmd)
			if who == "bound" && api.Label == "A11" && cmd == abi.CmdPoolsInfoGet {
				want = syscall.EFAULT // the request has no address
			}
			wantErrno(t, fmt.Sprint(api.Label, " command ", cmd, ", ", who),
				c.Ioctl(newProcess(), number(api, abi.NIOCREGIF), data), want)
		}
	}
}

// TestOldInfoOfMemory tests NIOCGINFO without a name, which describes the memory. Other fields are
// cleared in APIs before 5, and unchanged later.
func TestOldInfoOfMemory(t *testing.T) {
	for _, api := range abi.APIs {
		w := newRoomy(t)
		data := oldRequest(api, "", 0)
		want, l := slices.Clone(data), api.Req
		e := w.clientWith(policyOf(api)).Ioctl(newProcess(), number(api, abi.NIOCGINFO), data)
		wantErrno(t, api.Label, e, ok)
		le.PutUint32(want[l.MemSize:], uint32(w.engine.Region().Size()))
		if l.Arg3 != 0 {
			le.PutUint16(want[l.Arg2:], w.engine.Region().ID())
		}
		if api.Version < 5 {
			clear(want[l.Offset : l.Offset+4])
			if l.NumSlots != 0 {
				clear(want[l.NumSlots : l.NumRings+2])
			} else {
				clear(want[l.TxSlots : l.RxRings+2])
			}
		}
		if !bytes.Equal(data, want) {
			t.Errorf("API %v:\ngot  %x\nwant %x", api, data, want)
		}
	}
	w := newWorld(t)
	mine := abi.PortInfo{TxSlots: 7, RxSlots: 8, TxRings: 9, RxRings: 10,
		HostTxRings: 11, HostRxRings: 12}
	got, _, e := ask(w.client(), newProcess(), abi.ReqPortInfoGet, "", mine)
	mine.MemSize, mine.MemID = w.engine.Region().Size(), w.engine.Region().ID()
	if wantErrno(t, "PORT_INFO_GET", e, ok); got != mine {
		t.Errorf("PORT_INFO_GET: %+v, want %+v", got, mine)
	}
}
