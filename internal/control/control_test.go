//go:build linux

package control_test

import (
	"bytes"
	"slices"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/control"
	"github.com/seed-48afdc40/netmap/internal/session"
)

const (
	ok       = syscall.Errno(0)
	nowhere  = memBase - 8
	bodyless = abi.ReqValeDelIf
	unknown  = 99
	noOption = 77 // the type of an unknown option
)

// TestControlChecksInOrder tests that a request with several errors gets that of the first check.
// Each row fails its own check and all later ones.
func TestControlChecksInOrder(t *testing.T) {
	everything := func(p *process, h *abi.Header) {
		h.Body = nowhere
		h.Options = nowhere
	}
	tests := []struct {
		name string
		kind uint16
		set  func(*process, *abi.Header)
		want syscall.Errno
	}{
		{"version 11", abi.ReqRegister, func(p *process, h *abi.Header) {
			everything(p, h)
			h.Version, h.Reserved = 11, 1
		}, syscall.EINVAL},
		{"version 16", abi.ReqRegister, func(p *process, h *abi.Header) {
			everything(p, h)
			h.Version, h.Reserved = 16, 1
		}, syscall.EINVAL},
		{"reserved", abi.ReqRegister, func(p *process, h *abi.Header) {
			everything(p, h)
			h.Reserved = 1
		}, syscall.EINVAL},
		{"no body", abi.ReqRegister, func(p *process, h *abi.Header) { h.Options = nowhere },
			syscall.EINVAL},
		{"a body that does not belong", bodyless, everything, syscall.EINVAL},
		{"a body for an unknown type", unknown, everything, syscall.EINVAL},
		{"a body nowhere", abi.ReqRegister, everything, syscall.EFAULT},
		{"a body that ends nowhere", abi.ReqRegister,
			func(p *process, h *abi.Header) { h.Body = memBase + uint64(len(p.mem)) - 8 }, syscall.EFAULT},
		{"an option nowhere", abi.ReqRegister,
			func(p *process, h *abi.Header) { h.Body, h.Options = bodyAt, nowhere }, syscall.EFAULT},
		{"an option nowhere, unknown type", unknown,
			func(p *process, h *abi.Header) { h.Options = nowhere }, syscall.EFAULT},
		{"an option's body nowhere", abi.ReqRegister, func(p *process, h *abi.Header) {
			h.Body, h.Options = bodyAt, put(p, memBase+uint64(len(p.mem))-24,
				abi.Option{Type: abi.OptExtmem})
		}, syscall.EFAULT},
		{"unknown type, bad option", unknown,
			func(p *process, h *abi.Header) { h.Options = put(p, optionsAt, abi.Option{}) }, syscall.EINVAL},
		{"unknown type", unknown, func(*process, *abi.Header) {}, syscall.EINVAL},
		{"type 0", 0, func(*process, *abi.Header) {}, syscall.EINVAL},
		{"the request's own errors, as mode 0", abi.ReqRegister,
			func(p *process, h *abi.Header) { h.Body = bodyAt }, syscall.EINVAL},
		{"the request's own errors before an unknown option", abi.ReqRegister,
			func(p *process, h *abi.Header) {
				h.Body, h.Options = bodyAt, put(p, optionsAt, abi.Option{Type: noOption})
			}, syscall.EINVAL},
		{"an unknown option last", abi.ReqRegister, func(p *process, h *abi.Header) {
			h.Body, h.Options = put(p, bodyAt, abi.Register{Mode: abi.RegAllNIC, TxSlots: 8, RxSlots: 8}),
				put(p, optionsAt, abi.Option{Type: noOption})
		}, syscall.EOPNOTSUPP},
	}
	w := newWorld(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, h := newProcess(), header(tt.kind, "vale0:a")
			tt.set(p, &h)
			before, memory := h, bytes.Clone(p.mem)
			wantErrno(t, "answer", w.client().Ioctl(p, abi.NIOCCTRL, abi.Bytes(&h)), tt.want)
			if h != before {
				t.Errorf("the header changed to %+v from %+v", h, before)
			}
			if h.Options == 0 && !bytes.Equal(p.mem, memory) {
				t.Error("a failed request changed the client's memory")
			}
		})
	}
}

func TestVersions(t *testing.T) {
	w := newWorld(t)
	for version, want := range map[uint16]syscall.Errno{0: syscall.EINVAL, 11: syscall.EINVAL, 12: ok,
		13: ok, 14: ok, 15: ok, 16: syscall.EINVAL} {
		p, h := newProcess(), header(abi.ReqPortInfoGet, "")
		h.Version, h.Body = version, bodyAt
		if e := w.client().Ioctl(p, abi.NIOCCTRL, abi.Bytes(&h)); e != want || h.Version != version {
			t.Errorf("version %d: %v, and comes back as %d; want %v", version, e, h.Version, want)
		}
	}
}

// chain writes a list of options, each at an address of its own.
func chain(p *process, options ...abi.Option) (first uint64) {
	at := func(i int) uint64 { return optionsAt + uint64(i)*0x400 }
	for i, o := range options {
		if i+1 < len(options) {
			o.Next = at(i + 1)
		}
		put(p, at(i), o)
	}
	return at(0)
}

func status(p *process, n int) (all []syscall.Errno) {
	for i := range n {
		all = append(all, syscall.Errno(get[abi.Option](p, optionsAt+uint64(i)*0x400).Status))
	}
	return all
}

func TestOptions(t *testing.T) {
	const untouched = 0xdead
	opt := func(kind uint32) abi.Option { return abi.Option{Type: kind, Status: untouched} }
	sized := func(kind uint32, size uint64) abi.Option {
		return abi.Option{Type: kind, Status: untouched, Size: size}
	}
	many := make([]abi.Option, 40)
	for i := range many {
		many[i] = opt(noOption)
	}
	const none, inval = syscall.EOPNOTSUPP, syscall.EINVAL
	tests := []struct {
		name    string
		kind    uint16
		options []abi.Option
		want    syscall.Errno
		status  []syscall.Errno // of the first options
	}{
		{"an unknown option", abi.ReqRegister, []abi.Option{opt(noOption)}, none,
			[]syscall.Errno{none}},
		{"the same for a request without options", abi.ReqPortInfoGet, []abi.Option{opt(noOption)},
			ok, []syscall.Errno{none}},
		{"the same twice", abi.ReqPortInfoGet, []abi.Option{opt(noOption), opt(noOption)}, ok,
			[]syscall.Errno{none, none}},
		{"a known one that does not fit", abi.ReqPortInfoGet, []abi.Option{opt(abi.OptCSB)}, ok,
			[]syscall.Errno{none}},
		{"type 0", abi.ReqPortInfoGet, []abi.Option{opt(0)}, inval, []syscall.Errno{inval}},
		{"type 0 behind others", abi.ReqRegister, []abi.Option{opt(noOption), opt(0), opt(abi.OptCSB)},
			inval, []syscall.Errno{none, inval, untouched}},
		{"a known one twice", abi.ReqPortInfoGet,
			[]abi.Option{opt(abi.OptCSB), opt(noOption), opt(abi.OptCSB)}, inval,
			[]syscall.Errno{inval, none, inval}},
		{"too long by its size", abi.ReqRegister,
			[]abi.Option{opt(noOption), sized(abi.OptSyncKloopEventfds, 4097)}, syscall.EMSGSIZE,
			[]syscall.Errno{untouched, untouched}},
		{"too long together", abi.ReqRegister,
			[]abi.Option{sized(abi.OptSyncKloopEventfds, 4000), opt(abi.OptExtmem)}, syscall.EMSGSIZE,
			[]syscall.Errno{untouched, untouched}},
		{"just not too long", abi.ReqPortInfoGet, []abi.Option{sized(abi.OptSyncKloopEventfds, 4096-32)},
			ok, []syscall.Errno{none}},
		{"a size smaller than a header", abi.ReqPortInfoGet,
			[]abi.Option{sized(abi.OptSyncKloopEventfds, 3)}, ok, []syscall.Errno{none}},
		{"a size that a type of fixed size does not have", abi.ReqPortInfoGet,
			[]abi.Option{sized(abi.OptOffsets, 1<<40)}, ok, []syscall.Errno{none}},
		{"too many", abi.ReqRegister, append(slices.Repeat([]abi.Option{opt(noOption)}, 45),
			sized(abi.OptSyncKloopEventfds, 2900)), syscall.EMSGSIZE, []syscall.Errno{untouched}},
		{"many", abi.ReqPortInfoGet, many, ok, []syscall.Errno{none}},
	}
	w := newWorld(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, h := newProcess(), header(tt.kind, "")
			if tt.kind == abi.ReqRegister { // valid except for its options
				h = header(tt.kind, "vale0:a")
				put(p, bodyAt, abi.Register{Mode: abi.RegAllNIC, TxSlots: 8, RxSlots: 8})
			}
			h.Body, h.Options = bodyAt, chain(p, tt.options...)
			wantErrno(t, "answer", w.client().Ioctl(p, abi.NIOCCTRL, abi.Bytes(&h)), tt.want)
			for i, got := range status(p, len(tt.status)) {
				wantErrno(t, "status", got, tt.status[i])
			}
			if first := get[abi.Option](p, optionsAt); len(tt.options) > 1 && first.Next != optionsAt+0x400 {
				t.Error("the list has been changed")
			}
		})
	}
}

func TestOptionsThatNeverEnd(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name string
		kind uint32
		want syscall.Errno
	}{
		{"of an unknown type", noOption, syscall.EMSGSIZE},
		{"of a known type", abi.OptCSB, syscall.EINVAL},
		{"of type 0", 0, syscall.EINVAL},
	} {
		p, h := newProcess(), header(abi.ReqPortInfoGet, "")
		h.Body, h.Options = bodyAt, put(p, optionsAt, abi.Option{Type: tt.kind, Next: optionsAt})
		wantErrno(t, "a cycle "+tt.name, w.client().Ioctl(p, abi.NIOCCTRL, abi.Bytes(&h)), tt.want)
	}
}

func TestRegister(t *testing.T) {
	w := newWorld(t)
	c, p := w.client(), newProcess()
	req := abi.Register{Mode: abi.RegAllNIC, TxSlots: 16, RxSlots: 8, TxRings: 2, RxRings: 3,
		ExtraBufs: 5, Flags: abi.NRNoTxPoll}
	got, h, e := ask(c, p, abi.ReqRegister, "vale0:a", req)
	region := w.engine.Region()
	want := req
	want.Offset, want.MemSize, want.MemID = got.Offset, region.Size(), region.ID()
	if e != 0 || got != want {
		t.Fatalf("%v, answer %+v, want %+v", e, got, want)
	}
	if h.Body != bodyAt || h.Reserved != 0 || string(bytes.TrimRight(h.Name[:], "\x00")) != "vale0:a" {
		t.Errorf("the header has changed: %+v", h)
	}
	_, _, e = ask(c, p, abi.ReqRegister, "vale0:b", req)
	wantErrno(t, "a second registration", e, syscall.EBUSY)
	wantErrno(t, "txsync", c.Ioctl(p, abi.NIOCTXSYNC, nil), ok)
	wantErrno(t, "rxsync", c.Ioctl(p, abi.NIOCRXSYNC, nil), ok)
	if r := c.Poll(newProcess(), session.PollIn|session.PollOut); r != session.PollOut {
		t.Errorf("poll returns %#x, want POLLOUT", r)
	}
	c.Close()
	wantErrno(t, "txsync when it is closed", c.Ioctl(p, abi.NIOCTXSYNC, nil), syscall.ENXIO)
	if _, _, e = ask(c, p, abi.ReqRegister, "vale0:a", req); e == 0 {
		t.Error("a closed client can be bound")
	}
}

func TestUnbound(t *testing.T) {
	w := newWorld(t)
	c, p := w.client(), newProcess()
	wantErrno(t, "txsync", c.Ioctl(p, abi.NIOCTXSYNC, nil), syscall.ENXIO)
	wantErrno(t, "rxsync", c.Ioctl(p, abi.NIOCRXSYNC, nil), syscall.ENXIO)
	for _, events := range []uint32{0, session.PollIn, session.PollOut} {
		if r := c.Poll(newProcess(), events); r != session.PollErr {
			t.Errorf("poll for %#x returns %#x, want POLLERR", events, r)
		}
	}
}

func TestOtherIoctls(t *testing.T) {
	w := newWorld(t)
	c, p := w.client(), newProcess()
	for _, tt := range []struct {
		name    string
		request uint32
		size    int
		want    syscall.Errno
	}{
		{"NIOCCONFIG", abi.NIOCCONFIG, 272, syscall.EINVAL},
		{"NIOCUNREGIF, unbound", abi.NIOCUNREGIF, 0, syscall.ENXIO},
		{"an unknown one", 'i'<<8 | 200, 0, syscall.EOPNOTSUPP},
		{"an unknown one with data", 3<<30 | 8<<16 | 'i'<<8 | 200, 8, syscall.EOPNOTSUPP},
		{"another driver's", 0x5401, 0, syscall.EOPNOTSUPP},
		{"NIOCREGIF of the first API, without a name", 0xC0206992, 32, syscall.ENXIO},
		{"NIOCREGIF of no API", 0xC0216992, 33, syscall.EOPNOTSUPP},
		{"less data than announced", abi.NIOCCTRL, 87, syscall.EINVAL},
		{"no data", abi.NIOCREGIF, 0, syscall.EINVAL},
	} {
		wantErrno(t, tt.name, c.Ioctl(p, tt.request, make([]byte, tt.size)), tt.want)
	}
}

func TestRegisterErrors(t *testing.T) {
	w := newWorld(t)
	w.bind(w.client(), "vale9:taken", func(r *abi.Register) { r.Flags = abi.NRExclusive })
	for _, tt := range []struct {
		name string
		req  abi.Register
		want syscall.Errno
	}{
		{"vale0:a", abi.Register{}, syscall.EINVAL},
		{"vale0:a", abi.Register{Mode: abi.RegPipeMaster}, syscall.EINVAL},
		{"vale0:a", abi.Register{Mode: 9}, syscall.EINVAL},
		{"vale0:a", abi.Register{Mode: abi.RegSW}, syscall.EINVAL},
		{"vale0:a", abi.Register{Mode: abi.RegOneNIC, RingID: 1}, syscall.EINVAL},
		{"vale0:a", abi.Register{Mode: abi.RegAllNIC, MemID: 7}, syscall.EINVAL},
		{"vale0:lo", abi.Register{Mode: abi.RegAllNIC}, syscall.EINVAL},
		{"vale0", abi.Register{Mode: abi.RegAllNIC}, syscall.ENOMEM},
		{"vale9:taken", abi.Register{Mode: abi.RegAllNIC}, syscall.EBUSY},
		{"", abi.Register{Mode: abi.RegAllNIC}, syscall.ENXIO},
		{"nosuchif0", abi.Register{Mode: abi.RegAllNIC}, syscall.ENXIO},
		{"{1", abi.Register{Mode: abi.RegAllNIC}, syscall.EINVAL},
		{"x{", abi.Register{Mode: abi.RegAllNIC}, syscall.EINVAL},
		{"x{1", abi.Register{Mode: abi.RegSW}, syscall.EINVAL},
		{"null", abi.Register{Mode: abi.RegNull}, syscall.EINVAL},
	} {
		p := newProcess()
		got, _, e := ask(w.client(), p, abi.ReqRegister, tt.name, tt.req)
		if e != tt.want || got != tt.req {
			t.Errorf("register %q %+v: %v, want %v; body %+v", tt.name, tt.req, e, tt.want, got)
		}
	}
}

func TestPortInfo(t *testing.T) {
	w := newWorld(t)
	w.bind(w.client(), "vale0:a", func(r *abi.Register) { r.TxRings, r.RxRings, r.TxSlots = 2, 3, 32 })
	region := w.engine.Region()
	base := abi.PortInfo{MemSize: region.Size(), MemID: region.ID()}
	full := func(txRings, rxRings uint16, txSlots, rxSlots uint32) abi.PortInfo {
		i := base
		i.TxRings, i.RxRings, i.TxSlots, i.RxSlots = txRings, rxRings, txSlots, rxSlots
		return i
	}
	for _, tt := range []struct {
		name string
		ask  abi.PortInfo
		want abi.PortInfo
		err  syscall.Errno
	}{
		{"", abi.PortInfo{}, base, ok},
		{"", abi.PortInfo{MemID: 1}, base, ok},
		{"", abi.PortInfo{MemID: 9}, abi.PortInfo{MemID: 9}, syscall.EINVAL},
		{"vale0:a", abi.PortInfo{}, full(2, 3, 32, 8), ok},
		{"vale0:absent", abi.PortInfo{}, full(1, 1, 1024, 1024), ok},
		{"absent{1", abi.PortInfo{}, full(1, 1, 1024, 1024), ok},
		{"nosuchif0", abi.PortInfo{}, abi.PortInfo{}, syscall.ENXIO},
		{"vale0", abi.PortInfo{}, abi.PortInfo{}, syscall.ENOMEM},
	} {
		got, _, e := ask(w.client(), newProcess(), abi.ReqPortInfoGet, tt.name, tt.ask)
		if e != tt.err || got != tt.want {
			t.Errorf("%q: %v, %+v, want %v, %+v", tt.name, e, got, tt.err, tt.want)
		}
	}
	if ports := w.engine.ValePorts(); len(ports) != 1 {
		t.Errorf("PORT_INFO_GET made ports: %v", ports)
	}
}

func TestPoolsInfo(t *testing.T) {
	w := newWorld(t)
	got, _, e := ask(w.client(), newProcess(), abi.ReqPoolsInfoGet, "vale0:a", abi.PoolsInfo{})
	if want := w.engine.Region().Info(); e != 0 || got != want {
		t.Errorf("%v, %+v, want %+v", e, got, want)
	}
	_, _, e = ask(w.client(), newProcess(), abi.ReqPoolsInfoGet, "", abi.PoolsInfo{})
	wantErrno(t, "without a name", e, syscall.ENXIO)
}

func TestPortHeader(t *testing.T) {
	w := newWorld(t)
	w.bind(w.client(), "vale0:a")
	w.bind(w.client(), "x{1")
	for _, tt := range []struct {
		kind   uint16
		name   string
		length uint32
		want   syscall.Errno
	}{
		{abi.ReqPortHdrGet, "vale0:a", 4, ok},
		{abi.ReqPortHdrGet, "x{1", 4, ok},
		{abi.ReqPortHdrGet, "vale0:absent", 0, syscall.ENXIO},
		{abi.ReqPortHdrGet, "nosuchif0", 0, syscall.ENXIO},
		{abi.ReqPortHdrGet, "absent{1", 0, syscall.ENODEV},
		{abi.ReqPortHdrGet, "", 0, syscall.ENXIO},
		{abi.ReqPortHdrSet, "vale0:a", 0, ok},
		{abi.ReqPortHdrSet, "vale0:a", 11, syscall.EINVAL},
		{abi.ReqPortHdrSet, "x{1", 0, syscall.ENXIO},
		{abi.ReqPortHdrSet, "vale0:absent", 0, syscall.ENXIO},
	} {
		got, _, e := ask(w.client(), newProcess(), tt.kind, tt.name, abi.PortHdr{HdrLen: tt.length})
		if e != tt.want || e == 0 && got.HdrLen != 0 {
			t.Errorf("type %d of %q: %v, want %v; length %d", tt.kind, tt.name, e, tt.want, got.HdrLen)
		}
	}
}

func TestValeList(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"vale0:a", "vale0:b", "vale1:c"} {
		w.bind(w.client(), name)
	}
	c := w.client()
	var walk []string
	at := abi.ValeList{}
	for range 10 {
		got, h, e := ask(c, newProcess(), abi.ReqValeList, "", at)
		if e == syscall.ENOENT {
			break
		}
		if e != 0 {
			t.Fatal(e)
		}
		walk = append(walk, string(bytes.TrimRight(h.Name[:], "\x00")))
		at = got
		at.PortIdx++
	}
	if want := []string{"vale0:a", "vale0:b", "vale1:c"}; len(walk) != 3 || walk[0] != want[0] ||
		walk[1] != want[1] || walk[2] != want[2] {
		t.Errorf("the list is %q, want %q", walk, want)
	}
	for _, tt := range []struct {
		name   string
		bridge uint16
		port   uint32
		want   syscall.Errno
	}{
		{"vale0:b", 0, 1, ok},
		{"vale1:c", 1, 0, ok},
		{"vale1:absent", 1, 255, ok},
		{"vale7:a", 0, 0, syscall.ENOENT},
		{"vale0", 0, 0, syscall.ENOENT},
		{"eth0", 0, 0, syscall.EINVAL},
	} {
		got, _, e := ask(c, newProcess(), abi.ReqValeList, tt.name, abi.ValeList{})
		if e != tt.want || got.BridgeIdx != tt.bridge || got.PortIdx != tt.port {
			t.Errorf("%q: %v, %+v, want %v, switch %d port %d", tt.name, e, got, tt.want, tt.bridge, tt.port)
		}
	}
}

func TestLegacyRegister(t *testing.T) {
	for _, tt := range []struct {
		name string
		req  abi.Nmreq
		port string // the expected port, with the numbers of its bound tx and rx rings
		tx   int
		rx   int
		want syscall.Errno
	}{
		{"all rings", abi.Nmreq{Version: 11}, "vale0:a", 2, 2, ok},
		{"as all rings, mode said", abi.Nmreq{Version: 14, Flags: abi.RegAllNIC}, "vale0:a", 2, 2, ok},
		{"one ring, by the bit", abi.Nmreq{Version: 12, RingID: abi.HWRing | 1}, "vale0:a", 1, 1, ok},
		{"one ring, by the mode", abi.Nmreq{Version: 13, RingID: 1, Flags: abi.RegOneNIC},
			"vale0:a", 1, 1, ok},
		{"the mode wins", abi.Nmreq{Version: 14, RingID: abi.HWRing | 1, Flags: abi.RegAllNIC},
			"vale0:a", 2, 2, ok},
		{"no tx poll, no rings of one direction",
			abi.Nmreq{Version: 14, RingID: abi.NoTxPoll, Flags: abi.RegAllNIC | abi.NRRxRingsOnly},
			"vale0:a", 0, 2, ok},
		{"a later version", abi.Nmreq{Version: 15}, "vale0:a", 2, 2, ok},
		{"host rings", abi.Nmreq{Version: 11, RingID: abi.SWRing}, "vale0:a", 0, 0, syscall.EINVAL},
		{"host rings win", abi.Nmreq{Version: 11, RingID: abi.SWRing | abi.HWRing}, "vale0:a",
			0, 0, syscall.EINVAL},
		{"no such ring", abi.Nmreq{Version: 11, RingID: abi.HWRing | 2}, "vale0:a", 0, 0, syscall.EINVAL},
		{"API 9", abi.Nmreq{Version: 9}, "vale0:a", 0, 0, syscall.EINVAL},
		{"API 0", abi.Nmreq{}, "vale0:a", 0, 0, syscall.EINVAL},
		{"a pipe's master by mode", abi.Nmreq{Version: 11, RingID: 7, Flags: abi.RegPipeMaster}, "x", 2,
			2, ok},
		{"a pipe's slave by mode", abi.Nmreq{Version: 11, RingID: 7, Flags: abi.RegPipeSlave}, "x", 2, 2,
			ok},
		{"mode 9", abi.Nmreq{Version: 14, Flags: 9}, "vale0:a", 0, 0, syscall.EINVAL},
		{"command 3", abi.Nmreq{Version: 14, Cmd: abi.CmdBdgRegops}, "vale0:a", 0, 0, syscall.EINVAL},
		{"command 4", abi.Nmreq{Version: 14, Cmd: abi.CmdBdgList}, "vale0:a", 0, 0, syscall.EINVAL},
		{"command 8", abi.Nmreq{Version: 14, Cmd: abi.CmdPtHostCreate}, "vale0:a", 0, 0, syscall.ENOMEM},
		{"command 9", abi.Nmreq{Version: 14, Cmd: abi.CmdPtHostDelete}, "vale0:a", 0, 0, syscall.ENOMEM},
		{"command 13", abi.Nmreq{Version: 14, Cmd: abi.CmdPoolsInfoGet}, "vale0:a", 0, 0, syscall.EINVAL},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c, m := w.client(), tt.req
			copy(m.Name[:], tt.port)
			m.TxRings, m.RxRings, m.TxSlots, m.RxSlots, m.Arg1, m.Arg3 = 2, 2, 8, 16, 4, 3
			before := m
			e := c.Ioctl(newProcess(), abi.NIOCREGIF, abi.Bytes(&m))
			wantErrno(t, "answer", e, tt.want)
			if e != 0 {
				if m != before {
					t.Errorf("a failed request was changed to %+v", m)
				}
				return
			}
			want := before
			want.Offset, want.MemSize, want.Arg2 = m.Offset, uint32(w.engine.Region().Size()),
				w.engine.Region().ID()
			if tt.req.Flags == abi.RegPipeSlave { // the numbers are the master's
				want.TxSlots, want.RxSlots = want.RxSlots, want.TxSlots
			}
			if m != want {
				t.Errorf("answer %+v, want %+v", m, want)
			}
			if tx, rx := boundRings(w, m.Offset); tx != tt.tx || rx != tt.rx {
				t.Errorf("%d tx and %d rx rings are bound, want %d and %d", tx, rx, tt.tx, tt.rx)
			}
		})
	}
}

// boundRings counts the ring offsets of an interface that are not zero.
func boundRings(w *world, offset uint32) (tx, rx int) {
	m := w.engine.Region().Bytes()[offset:]
	f := abi.View[abi.If](m)
	for i := range f.TxRings + f.HostTxRings + f.RxRings + f.HostRxRings {
		if bytes.Equal(m[abi.IfSize+8*i:][:8], make([]byte, 8)) {
			continue
		}
		if i < f.TxRings+f.HostTxRings {
			tx++
		} else {
			rx++
		}
	}
	return tx, rx
}

// TestLegacyPipeNames tests that both ends of a pipe that were opened by mode and number are
// connected, also to ends that were opened by name.
func TestLegacyPipeNames(t *testing.T) {
	w := newWorld(t)
	m := abi.Nmreq{Version: 11, RingID: 7, Flags: abi.RegPipeMaster | abi.NRExclusive,
		TxSlots: 8, RxSlots: 8}
	copy(m.Name[:], "x")
	wantErrno(t, "master", w.client().Ioctl(newProcess(), abi.NIOCREGIF, abi.Bytes(&m)), ok)
	_, _, e := ask(w.client(), newProcess(), abi.ReqRegister, "x{7", abi.Register{Mode: abi.RegAllNIC})
	wantErrno(t, "the same by name", e, syscall.EBUSY)
	got := w.bind(w.client(), "x}7", func(r *abi.Register) { r.TxSlots, r.RxSlots = 0, 0 })
	if got.TxSlots != 8 || got.RxSlots != 8 {
		t.Errorf("the slave has %d and %d slots, want the master's 8", got.TxSlots, got.RxSlots)
	}
}

func TestLegacyInfo(t *testing.T) {
	w := newWorld(t)
	w.bind(w.client(), "vale0:a", func(r *abi.Register) { r.TxRings, r.TxSlots = 3, 32 })
	w.bind(w.client(), "vale0:b")
	size := uint32(w.engine.Region().Size())
	for _, tt := range []struct {
		name string
		req  abi.Nmreq
		want abi.Nmreq // without the name
		list string    // the name in the answer to a list
		err  syscall.Errno
	}{
		{"", abi.Nmreq{Version: 11}, abi.Nmreq{Version: 11, MemSize: size, Arg2: 1}, "", ok},
		{"vale0:a", abi.Nmreq{Version: 14},
			abi.Nmreq{Version: 14, MemSize: size, Arg2: 1, TxSlots: 32, RxSlots: 8, TxRings: 3, RxRings: 1},
			"", ok},
		{"nosuchif0", abi.Nmreq{Version: 14}, abi.Nmreq{}, "", syscall.ENXIO},
		{"", abi.Nmreq{Version: 9}, abi.Nmreq{}, "", syscall.EINVAL},
		{"", abi.Nmreq{Version: 14, Cmd: abi.CmdBdgList},
			abi.Nmreq{Version: 14, Cmd: abi.CmdBdgList}, "vale0:a", ok},
		{"", abi.Nmreq{Version: 14, Cmd: abi.CmdBdgList, Arg2: 1},
			abi.Nmreq{Version: 14, Cmd: abi.CmdBdgList, Arg2: 1}, "vale0:b", ok},
		{"", abi.Nmreq{Version: 14, Cmd: abi.CmdBdgList, Arg2: 2}, abi.Nmreq{}, "", syscall.ENOENT},
		{"vale0:b", abi.Nmreq{Version: 14, Cmd: abi.CmdBdgList},
			abi.Nmreq{Version: 14, Cmd: abi.CmdBdgList, Arg2: 1}, "", ok},
	} {
		m := tt.req
		copy(m.Name[:], tt.name)
		want := tt.want
		copy(want.Name[:], tt.name+tt.list)
		e := w.client().Ioctl(newProcess(), abi.NIOCGINFO, abi.Bytes(&m))
		if e != tt.err || e == 0 && m != want {
			t.Errorf("%q %+v: %v, %+v, want %v, %+v", tt.name, tt.req, e, m, tt.err, want)
		}
	}
}

// TestPollWakes tests that a poll that finds nothing arms the waker, and that later news calls it.
func TestPollWakes(t *testing.T) {
	w := newWorld(t)
	woken := &waker{}
	c := control.New(w.engine, control.Policy{}, woken, func(string, string, error) {})
	w.clients = append(w.clients, c)
	w.bind(c, "x}1")
	if r := c.Poll(newProcess(), session.PollIn); r != 0 {
		t.Fatalf("poll returns %#x", r)
	}
	sender := w.client()
	r := w.bind(sender, "x{1")
	ring := firstTxRing(w, uint32(r.Offset))
	ring.Head.Store(1)
	ring.Cur.Store(1)
	before := woken.woken
	wantErrno(t, "txsync", sender.Ioctl(newProcess(), abi.NIOCTXSYNC, nil), ok)
	if woken.woken == before {
		t.Error("the waker was not called")
	}
	if r := c.Poll(newProcess(), session.PollIn); r != session.PollIn {
		t.Errorf("poll returns %#x, want POLLIN", r)
	}
}

func firstTxRing(w *world, offset uint32) *abi.Ring {
	m := w.engine.Region().Bytes()
	ofs := abi.View[[1]int64](m[offset+abi.IfSize:])
	return abi.View[abi.Ring](m[int64(offset)+ofs[0]:])
}
