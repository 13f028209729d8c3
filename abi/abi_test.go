package abi_test

import (
	"bytes"
	"encoding/binary"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
)

// layout is a structure with its size and its offsets in netmap's C headers.
type layout struct {
	name   string
	v      reflect.Value
	mem    []byte // of v
	size   int
	fields []field
}

// field is a field that has no fields of its own. The field of an inner structure is named
// Nested.Field; one of an embedded structure just Field.
type field struct {
	name string
	at   int
}

func layoutOf[T any](size int, fields ...field) layout {
	p := new(T)
	v := reflect.ValueOf(p).Elem()
	return layout{v.Type().Name(), v, abi.Bytes(p), size, fields}
}

var layouts = []layout{
	layoutOf[abi.Slot](16, field{"BufIdx", 0}, field{"Len", 4}, field{"Flags", 6}, field{"Ptr", 8}),
	layoutOf[abi.Ring](256,
		field{"BufOfs", 0}, field{"NumSlots", 8}, field{"BufSize", 12}, field{"RingID", 16},
		field{"Dir", 18},
		field{"Head", 20}, field{"Cur", 24}, field{"Tail", 28}, field{"Flags", 32},
		field{"Ts.Sec", 40}, field{"Ts.Usec", 48}, field{"OffsetMask", 56}, field{"BufAlign", 64},
		field{"Sem", 128}),
	layoutOf[abi.Timeval](16, field{"Sec", 0}, field{"Usec", 8}),
	layoutOf[abi.If](56,
		field{"Name", 0}, field{"Version", 16}, field{"Flags", 20}, field{"TxRings", 24},
		field{"RxRings", 28},
		field{"BufsHead", 32}, field{"HostTxRings", 36}, field{"HostRxRings", 40}),
	layoutOf[abi.Nmreq](60,
		field{"Name", 0}, field{"Version", 16}, field{"Offset", 20}, field{"MemSize", 24},
		field{"TxSlots", 28}, field{"RxSlots", 32}, field{"TxRings", 36}, field{"RxRings", 38},
		field{"RingID", 40},
		field{"Cmd", 42}, field{"Arg1", 44}, field{"Arg2", 46}, field{"Arg3", 48},
		field{"Flags", 52}),
	layoutOf[abi.Header](88,
		field{"Version", 0}, field{"Type", 2}, field{"Reserved", 4}, field{"Name", 8},
		field{"Options", 72}, field{"Body", 80}),

	// The bodies of requests.
	layoutOf[abi.Register](56,
		field{"Offset", 0}, field{"MemSize", 8}, field{"TxSlots", 16}, field{"RxSlots", 20},
		field{"TxRings", 24}, field{"RxRings", 26}, field{"HostTxRings", 28},
		field{"HostRxRings", 30},
		field{"MemID", 32}, field{"RingID", 34}, field{"Mode", 36}, field{"ExtraBufs", 40},
		field{"Flags", 48}),
	layoutOf[abi.PortInfo](32,
		field{"MemSize", 0}, field{"TxSlots", 8}, field{"RxSlots", 12}, field{"TxRings", 16},
		field{"RxRings", 18},
		field{"HostTxRings", 20}, field{"HostRxRings", 22}, field{"MemID", 24}),
	layoutOf[abi.ValeAttach](64,
		field{"Reg.Offset", 0}, field{"Reg.MemSize", 8}, field{"Reg.TxSlots", 16},
		field{"Reg.RxSlots", 20},
		field{"Reg.TxRings", 24}, field{"Reg.RxRings", 26}, field{"Reg.HostTxRings", 28},
		field{"Reg.HostRxRings", 30},
		field{"Reg.MemID", 32}, field{"Reg.RingID", 34}, field{"Reg.Mode", 36},
		field{"Reg.ExtraBufs", 40},
		field{"Reg.Flags", 48}, field{"PortIndex", 56}),
	layoutOf[abi.ValeDetach](8, field{"PortIndex", 0}),
	layoutOf[abi.ValeList](8, field{"BridgeIdx", 0}, field{"PortIdx", 4}),
	layoutOf[abi.PortHdr](8, field{"HdrLen", 0}),
	layoutOf[abi.ValeNewIf](16,
		field{"TxSlots", 0}, field{"RxSlots", 4}, field{"TxRings", 8}, field{"RxRings", 10},
		field{"MemID", 12}),
	layoutOf[abi.ValePolling](16, field{"Mode", 0}, field{"FirstCPU", 4},
		field{"NumPollingCPUs", 8}),
	layoutOf[abi.PoolInfo](16, field{"Offset", 0}, field{"ObjTotal", 8}, field{"ObjSize", 12}),
	layoutOf[abi.PoolsInfo](64,
		field{"MemSize", 0}, field{"MemID", 8},
		field{"If.Offset", 16}, field{"If.ObjTotal", 24}, field{"If.ObjSize", 28},
		field{"Ring.Offset", 32}, field{"Ring.ObjTotal", 40}, field{"Ring.ObjSize", 44},
		field{"Buf.Offset", 48}, field{"Buf.ObjTotal", 56}, field{"Buf.ObjSize", 60}),
	layoutOf[abi.SyncKloopStart](8, field{"SleepUs", 0}),

	// Options.
	layoutOf[abi.Option](24, field{"Next", 0}, field{"Type", 8}, field{"Status", 12},
		field{"Size", 16}),
	layoutOf[abi.OptionExtmem](96,
		field{"Next", 0}, field{"Type", 8}, field{"Status", 12}, field{"Size", 16},
		field{"UsrPtr", 24}, field{"Info.MemSize", 32}, field{"Info.MemID", 40},
		field{"Info.If.Offset", 48}, field{"Info.If.ObjTotal", 56}, field{"Info.If.ObjSize", 60},
		field{"Info.Ring.Offset", 64}, field{"Info.Ring.ObjTotal", 72},
		field{"Info.Ring.ObjSize", 76},
		field{"Info.Buf.Offset", 80}, field{"Info.Buf.ObjTotal", 88},
		field{"Info.Buf.ObjSize", 92}),
	layoutOf[abi.OptionCSB](40,
		field{"Next", 0}, field{"Type", 8}, field{"Status", 12}, field{"Size", 16},
		field{"Atok", 24}, field{"Ktoa", 32}),
	layoutOf[abi.KloopEventfd](8, field{"IoEventfd", 0}, field{"IrqFd", 4}),
	layoutOf[abi.OptionKloopMode](32,
		field{"Next", 0}, field{"Type", 8}, field{"Status", 12}, field{"Size", 16},
		field{"Mode", 24}),
	layoutOf[abi.OptionOffsets](56,
		field{"Next", 0}, field{"Type", 8}, field{"Status", 12}, field{"Size", 16},
		field{"MaxOffset", 24}, field{"InitialOffset", 32}, field{"OffsetBits", 40},
		field{"TxAlign", 44},
		field{"MinGap", 48}),
	layoutOf[abi.CSBAtok](64, field{"Head", 0}, field{"Cur", 4}, field{"ApplNeedKick", 8},
		field{"SyncFlags", 12}),
	layoutOf[abi.CSBKtoa](64, field{"HwCur", 0}, field{"HwTail", 4}, field{"KernNeedKick", 8}),
}

// TestLayout fills one field after another. Each byte of a structure gets its own value, and only
// these bytes may change in memory. So padding, which belongs to no field, stays zero.
func TestLayout(t *testing.T) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			if len(l.mem) != l.size {
				t.Fatalf("size %d, want %d", len(l.mem), l.size)
			}
			want := make([]byte, l.size)
			next := byte(1)
			for _, f := range l.fields {
				v := leafNamed(t, l.v, f.name)
				pattern := make([]byte, v.Type().Size())
				for i := range pattern {
					pattern[i] = next
					next++
				}
				store(t, v, pattern)
				copy(want[f.at:], pattern)
				if !bytes.Equal(l.mem, want) {
					t.Fatalf("after %s, expected at %d:\ngot  %x\nwant %x", f.name, f.at, l.mem,
						want)
				}
			}
		})
	}
}

// TestEveryField tests that the table of a structure has all its fields.
func TestEveryField(t *testing.T) {
	for _, l := range layouts {
		var listed []string
		for _, f := range l.fields {
			listed = append(listed, f.name)
		}
		if all := leaves(l.v.Type(), ""); !slices.Equal(listed, all) {
			t.Errorf("%s: the table has %v, the structure %v", l.name, listed, all)
		}
	}
}

var atomicUint32 = reflect.TypeFor[atomic.Uint32]()

// leaves returns the names of the fields of typ, without padding.
func leaves(typ reflect.Type, prefix string) []string {
	var names []string
	for f := range typ.Fields() {
		switch {
		case f.Name == "_":
		case f.Anonymous:
			names = append(names, leaves(f.Type, prefix)...)
		case f.Type.Kind() == reflect.Struct && f.Type != atomicUint32:
			names = append(names, leaves(f.Type, prefix+f.Name+".")...)
		default:
			names = append(names, prefix+f.Name)
		}
	}
	return names
}

func leafNamed(t *testing.T, v reflect.Value, name string) reflect.Value {
	for part := range strings.SplitSeq(name, ".") {
		if v = v.FieldByName(part); !v.IsValid() {
			t.Fatalf("no field %s", name)
		}
	}
	return v
}

// store sets a field to the value whose little-endian bytes are b.
func store(t *testing.T, v reflect.Value, b []byte) {
	if a, ok := v.Addr().Interface().(*atomic.Uint32); ok {
		a.Store(binary.LittleEndian.Uint32(b))
		return
	}
	var u uint64
	for i, x := range b {
		u |= uint64(x) << (8 * (i % 8))
	}
	switch v.Kind() {
	case reflect.Array:
		reflect.Copy(v, reflect.ValueOf(b))
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(u)
	case reflect.Int32, reflect.Int64:
		v.SetInt(int64(u))
	default:
		t.Fatalf("a field of type %v", v.Type())
	}
}

// constant is a number and its value in netmap's C headers.
type constant struct {
	name      string
	got, want uint64
}

var constants = []constant{
	{"NIOCGINFO", abi.NIOCGINFO, 0xC03C6991},
	{"NIOCREGIF", abi.NIOCREGIF, 0xC03C6992},
	{"NIOCUNREGIF", abi.NIOCUNREGIF, 0x00006993},
	{"NIOCTXSYNC", abi.NIOCTXSYNC, 0x00006994},
	{"NIOCRXSYNC", abi.NIOCRXSYNC, 0x00006995},
	{"NIOCCONFIG", abi.NIOCCONFIG, 0xC1106996},
	{"NIOCCTRL", abi.NIOCCTRL, 0xC0586997},
	{"SizeMask", abi.SizeMask, 0x3fff0000},
	{"FreeBSDVoid", abi.FreeBSDVoid, 0x20006994 - 0x00006994},

	{"Version", abi.Version, 14},
	{"MinVersion", abi.MinVersion, 14},
	{"MaxVersion", abi.MaxVersion, 15},
	{"OldestControl", abi.OldestControl, 12},
	{"LegacyMin", abi.LegacyMin, 11},
	{"IfNameSize", abi.IfNameSize, 16},
	{"ReqNameSize", abi.ReqNameSize, 64},
	{"ReqMaxSize", abi.ReqMaxSize, 4096},
	{"MaxFrags", abi.MaxFrags, 64},
	{"ReservedBufs", abi.ReservedBufs, 2},
	{"SlotSize", abi.SlotSize, 16},
	{"RingSize", abi.RingSize, 256},
	{"IfSize", abi.IfSize, 56},
	{"CSBEntrySize", abi.CSBEntrySize, 64},

	{"NSBufChanged", abi.NSBufChanged, 0x0001},
	{"NSReport", abi.NSReport, 0x0002},
	{"NSForward", abi.NSForward, 0x0004},
	{"NSNoLearn", abi.NSNoLearn, 0x0008},
	{"NSIndirect", abi.NSIndirect, 0x0010},
	{"NSMoreFrag", abi.NSMoreFrag, 0x0020},
	{"NSTxMon", abi.NSTxMon, 0x0040},
	{"NSPortShift", abi.NSPortShift, 8},
	{"NSPortMask", abi.NSPortMask, 0xff00},

	{"DirTx", abi.DirTx, 0},
	{"RingTx", abi.RingTx, 1},
	{"RingRx", abi.RingRx, 0},
	{"DirRx", abi.DirRx, 1},
	{"NRTimestamp", abi.NRTimestamp, 0x0002},
	{"NRReinit", abi.NRReinit, 0x0001},
	{"NRForward", abi.NRForward, 0x0004},
	{"NIPrivMem", abi.NIPrivMem, 1},

	{"RingMask", abi.RingMask, 0x0fff},
	{"NoTxPoll", abi.NoTxPoll, 0x1000},
	{"SWRing", abi.SWRing, 0x2000},
	{"HWRing", abi.HWRing, 0x4000},
	{"DoRxPoll", abi.DoRxPoll, 0x8000},
	{"BdgHost", abi.BdgHost, 1},
	{"ModeMask", abi.ModeMask, 0xf},

	{"CmdNone", abi.CmdNone, 0},
	{"CmdBdgAttach", abi.CmdBdgAttach, 1},
	{"CmdBdgDetach", abi.CmdBdgDetach, 2},
	{"CmdBdgRegops", abi.CmdBdgRegops, 3},
	{"CmdBdgList", abi.CmdBdgList, 4},
	{"CmdBdgVnetHdr", abi.CmdBdgVnetHdr, 5},
	{"CmdBdgNewIf", abi.CmdBdgNewIf, 6},
	{"CmdBdgDelIf", abi.CmdBdgDelIf, 7},
	{"CmdPtHostCreate", abi.CmdPtHostCreate, 8},
	{"CmdPtHostDelete", abi.CmdPtHostDelete, 9},
	{"CmdBdgPollingOn", abi.CmdBdgPollingOn, 10},
	{"CmdBdgPollingOff", abi.CmdBdgPollingOff, 11},
	{"CmdVnetHdrGet", abi.CmdVnetHdrGet, 12},
	{"CmdPoolsInfoGet", abi.CmdPoolsInfoGet, 13},

	{"ReqRegister", abi.ReqRegister, 1},
	{"ReqPortInfoGet", abi.ReqPortInfoGet, 2},
	{"ReqValeAttach", abi.ReqValeAttach, 3},
	{"ReqValeDetach", abi.ReqValeDetach, 4},
	{"ReqValeList", abi.ReqValeList, 5},
	{"ReqPortHdrSet", abi.ReqPortHdrSet, 6},
	{"ReqPortHdrGet", abi.ReqPortHdrGet, 7},
	{"ReqValeNewIf", abi.ReqValeNewIf, 8},
	{"ReqValeDelIf", abi.ReqValeDelIf, 9},
	{"ReqValePollingEnable", abi.ReqValePollingEnable, 10},
	{"ReqValePollingDisable", abi.ReqValePollingDisable, 11},
	{"ReqPoolsInfoGet", abi.ReqPoolsInfoGet, 12},
	{"ReqSyncKloopStart", abi.ReqSyncKloopStart, 13},
	{"ReqSyncKloopStop", abi.ReqSyncKloopStop, 14},
	{"ReqCSBEnable", abi.ReqCSBEnable, 15},

	{"RegDefault", abi.RegDefault, 0},
	{"RegAllNIC", abi.RegAllNIC, 1},
	{"RegSW", abi.RegSW, 2},
	{"RegNICSW", abi.RegNICSW, 3},
	{"RegOneNIC", abi.RegOneNIC, 4},
	{"RegPipeMaster", abi.RegPipeMaster, 5},
	{"RegPipeSlave", abi.RegPipeSlave, 6},
	{"RegNull", abi.RegNull, 7},
	{"RegOneSW", abi.RegOneSW, 8},

	{"NRMonitorTx", abi.NRMonitorTx, 0x100},
	{"NRMonitorRx", abi.NRMonitorRx, 0x200},
	{"NRZcopyMon", abi.NRZcopyMon, 0x400},
	{"NRExclusive", abi.NRExclusive, 0x800},
	{"NRPtnetmapHost", abi.NRPtnetmapHost, 0x1000},
	{"NRRxRingsOnly", abi.NRRxRingsOnly, 0x2000},
	{"NRTxRingsOnly", abi.NRTxRingsOnly, 0x4000},
	{"NRAcceptVnetHdr", abi.NRAcceptVnetHdr, 0x8000},
	{"NRDoRxPoll", abi.NRDoRxPoll, 0x10000},
	{"NRNoTxPoll", abi.NRNoTxPoll, 0x20000},
	{"NRRxStamps", abi.NRRxStamps, 0x40000000},

	{"PollingSingleCPU", abi.PollingSingleCPU, 1},
	{"PollingMultiCPU", abi.PollingMultiCPU, 2},

	{"OptExtmem", abi.OptExtmem, 1},
	{"OptSyncKloopEventfds", abi.OptSyncKloopEventfds, 2},
	{"OptCSB", abi.OptCSB, 3},
	{"OptSyncKloopMode", abi.OptSyncKloopMode, 4},
	{"OptOffsets", abi.OptOffsets, 5},
	{"OptMax", abi.OptMax, 6},

	{"KloopDirectTx", abi.KloopDirectTx, 1},
	{"KloopDirectRx", abi.KloopDirectRx, 2},
}

func TestConstants(t *testing.T) {
	for _, c := range constants {
		if c.got != c.want {
			t.Errorf("%s = %#x, want %#x", c.name, c.got, c.want)
		}
	}
}

// TestNothingForgotten reads the package's source and tests that its structures and numbers are in
// the tables.
func TestNothingForgotten(t *testing.T) {
	tested := map[string]bool{}
	for _, l := range layouts {
		tested[l.name] = true
	}
	for _, c := range constants {
		tested[c.name] = true
	}
	for _, name := range declared(t) {
		if !tested[name] {
			t.Errorf("%s is in no table", name)
		}
	}
}

// declared returns the exported structures and constants of the package.
func declared(t *testing.T) []string {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range files {
		isOther := path == "api.go" || path == "body.go" // these have tables of their own
		if isOther || strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.GenDecl); ok {
				names = append(names, declaredIn(d)...)
			}
		}
	}
	return names
}

func declaredIn(d *ast.GenDecl) []string {
	var names []string
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if _, ok := s.Type.(*ast.StructType); ok && s.Name.IsExported() {
				names = append(names, s.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

var slotWords = []struct {
	bufIdx     uint32
	len, flags uint16
	word       abi.SlotWord
}{
	{0, 0, 0, 0},
	{0x04030201, 0x0605, 0x0807, 0x0807060504030201},
	{0xffffffff, 0, 0, 0x00000000ffffffff},
	{0, 0xffff, 0, 0x0000ffff00000000},
	{0, 0, 0xffff, 0xffff000000000000},
	{0xffffffff, 0xffff, 0xffff, 0xffffffffffffffff},
}

func TestSlotWord(t *testing.T) {
	for _, tt := range slotWords {
		w := abi.MakeSlotWord(tt.bufIdx, tt.len, tt.flags)
		if w != tt.word {
			t.Errorf("MakeSlotWord(%#x, %#x, %#x) = %#x, want %#x", tt.bufIdx, tt.len, tt.flags, w,
				tt.word)
		}
		if w.BufIdx() != tt.bufIdx || w.Len() != tt.len || w.Flags() != tt.flags {
			t.Errorf("%#x has %#x, %#x, %#x", w, w.BufIdx(), w.Len(), w.Flags())
		}
	}
}

// TestSlotSetWord converts words to fields and fields to words. Ptr must not change.
func TestSlotSetWord(t *testing.T) {
	const ptr = 0x1122334455667788
	for _, tt := range slotWords {
		got := abi.Slot{BufIdx: ^tt.bufIdx, Len: ^tt.len, Flags: ^tt.flags, Ptr: ptr}
		got.SetWord(tt.word)
		want := abi.Slot{BufIdx: tt.bufIdx, Len: tt.len, Flags: tt.flags, Ptr: ptr}
		if got != want {
			t.Errorf("SetWord(%#x): %+v, want %+v", tt.word, got, want)
		}
		if w := want.Word(); w != tt.word {
			t.Errorf("%+v has the word %#x, want %#x", want, w, tt.word)
		}
	}
}
