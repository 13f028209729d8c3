package portname

import (
	"errors"
	"math"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
)

// allNIC is the Name with all hardware rings of a port.
func allNIC(port string) Name { return Name{Port: port, Mode: abi.RegAllNIC} }

// with returns a changed copy of n.
func with(n Name, change func(*Name)) Name {
	change(&n)
	return n
}

var good = []struct {
	in   string
	want Name
	text string // the canonical form if it differs from in
}{
	// Ports.
	{"netmap:eth0", allNIC("eth0"), ""},
	{"eth0", allNIC("eth0"), "netmap:eth0"},
	{"netmap", allNIC("netmap"), "netmap:netmap"},
	{"netmap:eth0.100", allNIC("eth0.100"), ""},
	{"netmap:fifteen_bytes_x", allNIC("fifteen_bytes_x"), ""},
	{"netmap:ünïcode", allNIC("ünïcode"), ""},
	{"netmap:sixteen_bytes_xy", allNIC("sixteen_bytes_xy"), ""},
	{"netmap:sixteen_bytes_xy{1", allNIC("sixteen_bytes_xy{1"), ""},
	{"netmap:" + strings.Repeat("a", 127) + "^", Name{Port: strings.Repeat("a", 127), Mode: abi.RegSW},
		""},
	{"vale0:a", allNIC("vale0:a"), ""},
	{"vale:a", allNIC("vale:a"), ""},
	{"vale0:", allNIC("vale0:"), ""},
	{"vale:", allNIC("vale:"), ""},
	{"vale_Sw1tch:a.b:c", allNIC("vale_Sw1tch:a.b:c"), ""},
	{"netmap:vale0:a", allNIC("vale0:a"), "vale0:a"},
	{"vale567890abcde:fifteen_bytes_x", allNIC("vale567890abcde:fifteen_bytes_x"), ""},
	// Pipes.
	{"netmap:x{1", allNIC("x{1"), ""},
	{"netmap:x}1", allNIC("x}1"), ""},
	{"x{any_id", allNIC("x{any_id"), "netmap:x{any_id"},
	{"vale0:a{1", allNIC("vale0:a{1"), ""},
	{"vale0:{1", allNIC("vale0:{1"), ""},
	{"netmap:x{1}2", allNIC("x{1}2"), ""},
	{"netmap:x{" + strings.Repeat("i", 61), allNIC("x{" + strings.Repeat("i", 61)), ""},
	// Rings.
	{"netmap:eth0-3", Name{Port: "eth0", Mode: abi.RegOneNIC, Ring: 3}, ""},
	{"netmap:eth0-0", Name{Port: "eth0", Mode: abi.RegOneNIC}, ""},
	{"netmap:eth0-4094", Name{Port: "eth0", Mode: abi.RegOneNIC, Ring: 4094}, ""},
	{"netmap:eth0-007", Name{Port: "eth0", Mode: abi.RegOneNIC, Ring: 7}, "netmap:eth0-7"},
	{"netmap:eth0^", Name{Port: "eth0", Mode: abi.RegSW}, ""},
	{"netmap:eth0^2", Name{Port: "eth0", Mode: abi.RegOneSW, Ring: 2}, ""},
	{"netmap:eth0*", Name{Port: "eth0", Mode: abi.RegNICSW}, ""},
	{"netmap:x{1-2", Name{Port: "x{1", Mode: abi.RegOneNIC, Ring: 2}, ""},
	// Flags.
	{"netmap:eth0/x", Name{Port: "eth0", Mode: abi.RegAllNIC, Flags: abi.NRExclusive}, ""},
	{"netmap:eth0/z", Name{Port: "eth0", Mode: abi.RegAllNIC, Flags: abi.NRZcopyMon}, ""},
	{"netmap:eth0/rt", Name{
		Port: "eth0", Mode: abi.RegAllNIC, Flags: abi.NRMonitorTx | abi.NRMonitorRx,
	}, "netmap:eth0/tr"},
	{"netmap:x{1/R", Name{Port: "x{1", Mode: abi.RegAllNIC, Flags: abi.NRRxRingsOnly}, ""},
	{"netmap:eth0-1/TT", Name{Port: "eth0", Mode: abi.RegOneNIC, Ring: 1, Flags: abi.NRTxRingsOnly},
		"netmap:eth0-1/T"},
	// Memory.
	{"netmap:eth0@3", Name{Port: "eth0", Mode: abi.RegAllNIC, MemID: 3}, ""},
	{"netmap:eth0^1/x@65535", Name{Port: "eth0", Mode: abi.RegOneSW, Ring: 1, Flags: abi.NRExclusive,
		MemID: 65535}, ""},
	{"netmap:eth0@3/x", Name{Port: "eth0", Mode: abi.RegAllNIC, Flags: abi.NRExclusive, MemID: 3},
		"netmap:eth0/x@3"},
	{"netmap:eth0/@3@3", Name{Port: "eth0", Mode: abi.RegAllNIC, MemID: 3}, "netmap:eth0@3"},
	{"netmap:a@share=vale0:b", Name{Port: "a", Mode: abi.RegAllNIC, Share: "vale0:b"}, ""},
	{"netmap:a@share:port=b{1", Name{Port: "a", Mode: abi.RegAllNIC, Share: "b{1"},
		"netmap:a@share=netmap:b{1"},
	// Sizes.
	{"vale0:a@conf:rings=4,slots=512", with(allNIC("vale0:a"), func(n *Name) {
		n.Conf = Conf{TxRings: 4, RxRings: 4, TxSlots: 512, RxSlots: 512}
	}), ""},
	{"vale0:a@conf=4", with(allNIC("vale0:a"), func(n *Name) {
		n.Conf = Conf{TxRings: 4, RxRings: 4}
	}), "vale0:a@conf:rings=4"},
	{"vale0:a@conf:tx-rings=1,rx-rings=2,host-tx-rings=3,host-rx-rings=4,tx-slots=5,rx-slots=6",
		with(allNIC("vale0:a"), func(n *Name) { n.Conf = Conf{1, 2, 3, 4, 5, 6} }), ""},
	{"vale0:a@conf:tx_rings=1,rings=2,host_rings=7@conf:rx-slots=8,slots=9,host-tx-rings=0", with(
		allNIC("vale0:a"), func(n *Name) {
			n.Conf = Conf{TxRings: 1, RxRings: 2, HostRxRings: 7, TxSlots: 9, RxSlots: 8}
		}), "vale0:a@conf:tx-rings=1,rx-rings=2,host-rx-rings=7,tx-slots=9,rx-slots=8"},
	{"vale0:a@conf:", allNIC("vale0:a"), "vale0:a"},
	{"vale0:a@conf:rings=", allNIC("vale0:a"), "vale0:a"},
	// External memory.
	{"netmap:eth0@extmem=/dev/hugepages/a-b", with(allNIC("eth0"), func(n *Name) {
		n.Extmem.File = "/dev/hugepages/a-b"
	}), ""},
	{"netmap:eth0@extmem=a,b", with(allNIC("eth0"), func(n *Name) { n.Extmem.File = "a,b" }), ""},
	{"netmap:eth0@extmem=file=a", with(allNIC("eth0"), func(n *Name) { n.Extmem.File = "file=a" }),
		""},
	{"netmap:eth0@extmem:file=/a:b,if-num=1,if-size=2,ring-num=3,ring-size=4,buf-num=5,buf-size=6",
		with(allNIC("eth0"),
			func(n *Name) { n.Extmem = Extmem{"/a:b", Pool{1, 2}, Pool{3, 4}, Pool{5, 6}} }), ""},
	{"netmap:eth0@extmem:buf_num=4096,file=a", with(allNIC("eth0"), func(n *Name) {
		n.Extmem = Extmem{File: "a", Buf: Pool{Num: 4096}}
	}), "netmap:eth0@extmem:file=a,buf-num=4096"},
	// Offsets.
	{"netmap:eth0@offset=128", with(allNIC("eth0"), func(n *Name) { n.Offset = Offset{128, 64} }), ""},
	{"netmap:eth0@offset:initial=128,bits=16", with(allNIC("eth0"),
		func(n *Name) { n.Offset = Offset{128, 16} }), ""},
	{"netmap:eth0@offset:bits=0,initial=0", with(allNIC("eth0"), func(n *Name) {
		n.Offset = Offset{0, 64}
	}), "netmap:eth0@offset=0"},
	// All of it.
	{"netmap:eth0-1/x@2@conf:rings=1@share=eth1@offset=8@extmem=/f", Name{
		Port: "eth0", Mode: abi.RegOneNIC, Ring: 1, Flags: abi.NRExclusive, MemID: 2, Share: "eth1",
		Conf: Conf{TxRings: 1, RxRings: 1}, Extmem: Extmem{File: "/f"}, Offset: Offset{8, 64},
	}, "netmap:eth0-1/x@2@share=netmap:eth1@conf:rings=1@extmem=/f@offset=8"},
}

func TestParse(t *testing.T) {
	for _, tt := range good {
		n, err := Parse(tt.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.in, err)
			continue
		}
		if n != tt.want {
			t.Errorf("Parse(%q) = %+v, want %+v", tt.in, n, tt.want)
		}
		text := tt.text
		if text == "" {
			text = tt.in
		}
		if got := n.String(); got != text {
			t.Errorf("Parse(%q).String() = %q, want %q", tt.in, got, text)
		}
		if again, err := Parse(n.String()); again != n || err != nil {
			t.Errorf("Parse(%q) = %+v, %v, want %+v again", n.String(), again, err, n)
		}
	}
}

// bad has the message of every error after `port name "...": `.
var bad = []struct{ in, msg string }{
	// Ports.
	{"", `port "" at 0: want netmap:interface or vale0:port`},
	{"netmap:", `port "" at 7: want netmap:interface or vale0:port`},
	{"netmap:/x", `port "" at 7: want netmap:interface or vale0:port`},
	{"netmpa:eth0", `interface "netmpa:eth0" at 0: want netmap:interface or vale0:port`},
	{"netmap:eth0:1", `interface "eth0:1" at 7: want netmap:interface or vale0:port`},
	{"netmap:eth0 ", `character " " at 11: want no spaces and no control characters`},
	{"eth0\x00", `character "\x00" at 4: want no spaces and no control characters`},
	{"vale0", `switch "vale0" at 0: want a port after it, as in vale0:a`},
	{"netmap:valet{1", `switch "valet" at 7: want a port after it, as in valet:a`},
	{"vale.0:a", `character "." at 4: want a switch named with letters, digits and _`},
	// Pipes.
	{"netmap:{1", `port "" at 7: want a port before the pipe, as in eth0{1`},
	{"netmap:x{", `pipe id "" at 9: want letters or digits, as in eth0{1`},
	{"netmap:x}/z", `pipe id "" at 9: want letters or digits, as in eth0{1`},
	{"netmap:x{1}}", `pipe id "" at 11: want letters or digits, as in eth0{1`},
	// Rings.
	{"netmap:eth0-x", `ring number "x" at 12: want a decimal number`},
	{"netmap:eth0-", `ring number "" at 12: want a decimal number`},
	{"netmap:eth0--1", `ring number "-1" at 12: want a decimal number`},
	{"netmap:eth0-1x/R", `ring number "1x" at 12: want a decimal number`},
	{"netmap:eth0-4095", `ring number "4095" at 12: want 0 to 4094`},
	{"netmap:eth0-99999999999999999999", `ring number "99999999999999999999" at 12: want 0 to 4094`},
	{"netmap:eth0^x", `ring number "x" at 12: want a decimal number`},
	{"netmap:eth0*1", `text "1" at 12: want a / or @ or nothing after the *`},
	// Flags.
	{"netmap:eth0/", `flags "" at 12: want some of xztrRT`},
	{"netmap:eth0/xq", `flag "q" at 13: want one of xztrRT`},
	{"netmap:eth0/x/R", `flag "/" at 13: want one of xztrRT`},
	// Memory.
	{"netmap:eth0@0", `memory id "0" at 12: want 1 to 65535`},
	{"netmap:eth0@65536", `memory id "65536" at 12: want 1 to 65535`},
	{"netmap:eth0@3x", `memory id "3x" at 12: want a decimal number`},
	{"netmap:eth0@3@4", `memory id "4" at 14: want only one, and there is 3 already`},
	// Options.
	{"netmap:eth0@",
		`option "" at 12: want conf, extmem, offset, share or the number of a memory region`},
	{"netmap:eth0@@3",
		`option "" at 12: want conf, extmem, offset, share or the number of a memory region`},
	{"netmap:eth0@cnf:rings=1",
		`option "cnf" at 12: want conf, extmem, offset, share or the number of a memory region`},
	{"netmap:eth0@conf", `end of option "" at 16: want @conf:rings=value`},
	{"netmap:eth0@conf=", `value "" at 17: want a value for rings`},
	{"netmap:eth0@conf:rings", `key "rings" at 17: want a value for it: rings=...`},
	{"netmap:eth0@conf:rings=1,rings=1", `key "rings" at 25: want it only once`},
	{"netmap:eth0@conf:rings=1x", `rings "1x" at 23: want a decimal number`},
	{"netmap:eth0@conf:tx-rings=65536", `tx-rings "65536" at 26: want 0 to 65535`},
	{"netmap:eth0@conf:slots=4294967296", `slots "4294967296" at 23: want 0 to 4294967295`},
	{"netmap:eth0@offset:bits=3",
		`option "offset" at 12: want one initial offset, as in @offset:initial=64`},
	{"netmap:eth0@offset=1@offset=1",
		`option "offset" at 21: want one initial offset, as in @offset:initial=64`},
	{"netmap:eth0@offset:foo=3", `key "foo" at 19: want one of initial, bits`},
	{"netmap:eth0@offset:initial=3,bits=65", `bits "65" at 34: want 0 to 64`},
	{"netmap:eth0@extmem:if-num=3",
		`option "extmem" at 12: want one file, as in @extmem:file=/dev/hugepages/a`},
	{"netmap:eth0@extmem=a@extmem=a",
		`option "extmem" at 21: want one file, as in @extmem:file=/dev/hugepages/a`},
	{"netmap:eth0@share:port=",
		`option "share" at 12: want one port to share with, as in @share=vale0:a`},
	{"netmap:eth0@share=a@share=a",
		`option "share" at 20: want one port to share with, as in @share=vale0:a`},
	{"netmap:eth0@share=eth1-2", `text "-2" at 22: want a port without rings and flags`},
	{"netmap:eth0@share=vale0", `switch "vale0" at 18: want a port after it, as in vale0:a`},
}

func TestParseErrors(t *testing.T) {
	for _, tt := range bad {
		n, err := Parse(tt.in)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("Parse(%q) = %+v, %v, want an *Error", tt.in, n, err)
			continue
		}
		if n != (Name{}) {
			t.Errorf("Parse(%q) = %+v with its error", tt.in, n)
		}
		if !errors.Is(err, syscall.EINVAL) {
			t.Errorf("Parse(%q): %v is not EINVAL", tt.in, err)
		}
		_, msg, _ := strings.Cut(err.Error(), `": `)
		if msg != tt.msg {
			t.Errorf("Parse(%q):\ngot  %s\nwant %s", tt.in, msg, tt.msg)
		}
		if e.Input != tt.in || e.Offset > len(tt.in) {
			t.Errorf("Parse(%q): error about %q at %d", tt.in, e.Input, e.Offset)
		}
	}
}

func TestParseTooLong(t *testing.T) {
	for _, tt := range []struct{ in, msg string }{
		{"netmap:" + strings.Repeat("a", 128), `interface "` + strings.Repeat("a", 128) +
			`" at 7: want at most 127 bytes`},
		{strings.Repeat("a", 62) + "{1", `port "` + strings.Repeat("a", 62) +
			`{1" at 0: want at most 63 bytes`},
		{"vale0:a{" + strings.Repeat("i", 62), `port "vale0:a{` + strings.Repeat("i", 62) +
			`" at 0: want at most 63 bytes`},
		{"vale567890abcdef:a", `switch "vale567890abcdef" at 0: want at most 15 bytes`},
		{"vale0:sixteen_bytes_xy", `port "sixteen_bytes_xy" at 6: want at most 15 bytes`},
		{"x{" + strings.Repeat("i", 62), `port "x{` + strings.Repeat("i", 62) +
			`" at 0: want at most 63 bytes`},
	} {
		_, err := Parse(tt.in)
		if !errors.Is(err, syscall.ENAMETOOLONG) {
			t.Errorf("Parse(%q): %v, want ENAMETOOLONG", tt.in, err)
			continue
		}
		if want := `port name "` + tt.in + `": ` + tt.msg; err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestParseEveryRing tests all ring numbers, and the first invalid one.
func TestParseEveryRing(t *testing.T) {
	for ring := uint16(0); ring < abi.RingMask; ring++ {
		for _, mode := range []uint32{abi.RegOneNIC, abi.RegOneSW} {
			want := Name{Port: "eth0", Mode: mode, Ring: ring}
			if n, err := Parse(want.String()); n != want || err != nil {
				t.Fatalf("Parse(%q) = %+v, %v", want.String(), n, err)
			}
		}
	}
	mask := Name{Port: "eth0", Mode: abi.RegOneNIC, Ring: abi.RingMask}
	if _, err := Parse(mask.String()); err == nil {
		t.Error("the ring number RingMask was accepted")
	}
}

func TestRegister(t *testing.T) {
	n, err := Parse("vale0:a-5/xR@7@conf:tx-rings=1,rx-rings=2," +
		"host-tx-rings=3,host-rx-rings=4,tx-slots=5,rx-slots=6")
	if err != nil {
		t.Fatal(err)
	}
	want := abi.Register{
		TxRings: 1, RxRings: 2, HostTxRings: 3, HostRxRings: 4, TxSlots: 5, RxSlots: 6,
		MemID: 7, RingID: 5, Mode: abi.RegOneNIC, Flags: abi.NRExclusive | abi.NRRxRingsOnly,
	}
	if got := n.Register(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if mode := (Name{Port: "eth0"}).Register().Mode; mode != abi.RegAllNIC {
		t.Errorf("no mode became %d", mode)
	}
}

func TestOptions(t *testing.T) {
	e := Extmem{"/f", Pool{1, 2}, Pool{3, 4}, Pool{5, 6}}.Option(0x1000, 8192)
	if want := (abi.OptionExtmem{
		Option: abi.Option{Type: abi.OptExtmem},
		UsrPtr: 0x1000,
		Info: abi.PoolsInfo{
			MemSize: 8192,
			If:      abi.PoolInfo{ObjTotal: 1, ObjSize: 2},
			Ring:    abi.PoolInfo{ObjTotal: 3, ObjSize: 4},
			Buf:     abi.PoolInfo{ObjTotal: 5, ObjSize: 6},
		},
	}); e != want {
		t.Errorf("got %+v, want %+v", e, want)
	}
	o := Offset{Initial: math.MaxUint64, Bits: 64}.Option()
	if want := (abi.OptionOffsets{
		Option:        abi.Option{Type: abi.OptOffsets},
		MaxOffset:     math.MaxUint64,
		InitialOffset: math.MaxUint64,
		OffsetBits:    64,
	}); o != want {
		t.Errorf("got %+v, want %+v", o, want)
	}
}

// odd are interfaces whose names contain characters of the grammar.
var odd = map[string]bool{
	"eth-0": true, "br-lan-": true, "a@b": true, "w^1": true, "x/y": true, "-": true, "s*": true,
	"p-4": true, "vale-0": true,
}

func isOdd(name string) bool { return odd[name] }

func TestParseWith(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Name
	}{
		{"eth-0", allNIC("eth-0")},
		{"netmap:eth-0", allNIC("eth-0")},
		{"netmap:eth-0-1", Name{Port: "eth-0", Mode: abi.RegOneNIC, Ring: 1}},
		{"netmap:eth-0^", Name{Port: "eth-0", Mode: abi.RegSW}},
		{"netmap:eth-0/xR@7", Name{Port: "eth-0", Mode: abi.RegAllNIC,
			Flags: abi.NRExclusive | abi.NRRxRingsOnly, MemID: 7}},
		{"netmap:eth-0*@conf:rings=2", Name{Port: "eth-0", Mode: abi.RegNICSW,
			Conf: Conf{TxRings: 2, RxRings: 2}}},
		{"netmap:eth-0{1-0", Name{Port: "eth-0{1", Mode: abi.RegOneNIC}},
		{"netmap:eth-0}1/x", Name{Port: "eth-0}1", Mode: abi.RegAllNIC, Flags: abi.NRExclusive}},
		{"netmap:eth-1", Name{Port: "eth", Mode: abi.RegOneNIC, Ring: 1}}, // there is no such interface
		{"netmap:br-lan--3", Name{Port: "br-lan-", Mode: abi.RegOneNIC, Ring: 3}},
		{"a@b@3", with(allNIC("a@b"), func(n *Name) { n.MemID = 3 })},
		{"w^1", allNIC("w^1")},
		{"w^2", Name{Port: "w", Mode: abi.RegOneSW, Ring: 2}},
		{"x/y", allNIC("x/y")},
		{"netmap:x/y/z", with(allNIC("x/y"), func(n *Name) { n.Flags = abi.NRZcopyMon })},
		{"-", allNIC("-")},
		{"s**", Name{Port: "s*", Mode: abi.RegNICSW}},
		{"vale0:p-4", Name{Port: "vale0:p", Mode: abi.RegOneNIC, Ring: 4}}, // a port of a switch
	} {
		n, err := ParseWith(tt.in, isOdd)
		if err != nil || n != tt.want {
			t.Errorf("ParseWith(%q) = %+v, %v, want %+v", tt.in, n, err, tt.want)
		}
		if again, err := ParseWith(n.String(), isOdd); again != n || err != nil {
			t.Errorf("ParseWith(%q) = %+v, %v, want %+v again", n.String(), again, err, n)
		}
	}
	for _, in := range []string{"netmap:eth-", "netmap:eth--0", "vale-0", "netmap:eth-0x", "eth-0{",
		"eth-0@eth-0"} {
		if n, err := ParseWith(in, isOdd); err == nil {
			t.Errorf("ParseWith(%q) = %+v", in, n)
		}
	}
	// isInterface is not called if there is nothing to decide.
	for _, in := range []string{"eth0", "netmap:eth0", "x{1", "vale0:a-1",
		"netmap:" + strings.Repeat("a", 300)} {
		ParseWith(in, func(name string) bool {
			t.Errorf("%q: asked for %q", in, name)
			return false
		})
	}
}

// FuzzParse tests that Parse does not panic, that String and Parse are inverse, and that errors
// point into the input, with and without interfaces of odd names.
func FuzzParse(f *testing.F) {
	for _, tt := range good {
		f.Add(tt.in)
	}
	for _, tt := range bad {
		f.Add(tt.in)
	}
	for name := range odd {
		f.Add(name + "-1/x@3")
		f.Add("netmap:" + name + "{1^2")
	}
	f.Fuzz(func(t *testing.T, in string) {
		fuzzed(t, in, nil)
		fuzzed(t, in, isOdd)
	})
}

func fuzzed(t *testing.T, in string, isInterface func(string) bool) {
	n, err := ParseWith(in, isInterface)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Input != in || e.Offset < 0 || e.Offset > len(in) {
			t.Fatalf("ParseWith(%q): %#v", in, err)
		}
		return
	}
	most := abi.ReqNameSize - 1
	if n.Kind() == Interface {
		most = maxAltName
	}
	if len(n.Port) == 0 || len(n.Port) > most || strings.IndexByte(n.Port, 0) >= 0 {
		t.Fatalf("ParseWith(%q): the port %q does not fit", in, n.Port)
	}
	if n.Ring >= abi.RingMask {
		t.Fatalf("ParseWith(%q): ring %d", in, n.Ring)
	}
	text := n.String()
	port, _ := span{text, 0, len(text)}.cutPort(isInterface)
	if strings.TrimPrefix(port.String(), netmapPrefix) != n.Port {
		return // in names a ring of eth, but its String the interface eth-0
	}
	if again, err := ParseWith(n.String(), isInterface); again != n || err != nil {
		t.Fatalf("ParseWith(%q) = %+v, but ParseWith(%q) = %+v, %v", in, n, n.String(), again, err)
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := Parse("netmap:eth0-3/x@1"); err != nil {
			b.Fatal(err)
		}
	}
}
