package abi_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
)

// generations are properties of every generation, one column each. A dash means that the generation
// does not have the field.
const generations = `
API           A0p   A0   A1   A2p  A2   A3   A4a  A4b  A5   A10  A11  A12  A13  A14
version       -    -    -    -    2    3    4    4    5    10   11   12   13   14
request       Q32  Q32  Q36  Q44  Q60  Q60  Q60  Q60  Q60  Q60  Q60  Q60  Q60  Q60
interface     I24  I24  I32q I32r I32r I32r I32r I32r I32f I40  I56  I56  I56  I56h
ring          R24  R40  R40  R48  R48  R48  R48  R48  R48  R256 R256 R256 R256 R256
slot          8    8    8    8    8    8    8    16   16   16   16   16   16   16
stride        2048 2048 2048 -    -    -    -    -    -    -    -    -    -    -
slotflags     3    3    3    3    3    f    ff2f ff3f ff3f ff3f ff7f ff7f ff7f ff7f
ringflags     2    2    2    2    2    6    6    6    6    6    6    6    6    6
lastcmd       -    -    -    -    -    -    4    4    5    5    13   12   12   12
unregif       end  end  end  end  end  end  EINVAL EINVAL EINVAL no no  no   no   no
rebind        yes  yes  yes  yes  yes  yes  yes  yes  yes  yes  -    -    -    -
reinit        yes  yes  yes  -    -    -    -    -    -    -    -    -    -    -
ginfo c0xx6991 20   20   24   2c   3c   3c   3c   3c   3c   3c   3c   3c   3c   3c
`

// requestFields, interfaceFields and ringFields are offsets in the structures.
const requestFields = `
API           A0p   A0   A1   A2p  A2   A3   A4a  A4b  A5   A10  A11  A12  A13  A14
Size          32   32   36   44   60   60   60   60   60   60   60   60   60   60
Version       -    -    16   16   16   16   16   16   16   16   16   16   16   16
Offset        16   16   20   20   20   20   20   20   20   20   20   20   20   20
MemSize       20   20   24   24   24   24   24   24   24   24   24   24   24   24
NumSlots      24   24   28   -    -    -    -    -    -    -    -    -    -    -
NumRings      28   28   32   -    -    -    -    -    -    -    -    -    -    -
TxSlots       -    -    -    28   28   28   28   28   28   28   28   28   28   28
RxSlots       -    -    -    32   32   32   32   32   32   32   32   32   32   32
TxRings       -    -    -    36   36   36   36   36   36   36   36   36   36   36
RxRings       -    -    -    38   38   38   38   38   38   38   38   38   38   38
RingID        30   30   34   40   40   40   40   40   40   40   40   40   40   40
Cmd           -    -    -    -    -    -    42   42   42   42   42   42   42   42
Arg1          -    -    -    -    -    -    44   44   44   44   44   44   44   44
Arg2          -    -    -    -    -    -    46   46   46   46   46   46   46   46
Arg3          -    -    -    -    -    -    -    -    -    -    48   48   48   48
Flags         -    -    -    -    -    -    -    -    -    -    52   52   52   52
`

const interfaceFields = `
API           A0p   A0   A1   A2p  A2   A3   A4a  A4b  A5   A10  A11  A12  A13  A14
Size          24   24   32   32   32   32   32   32   32   40   56   56   56   56
Version       -    -    16   16   16   16   16   16   16   16   16   16   16   16
Flags         -    -    -    -    -    -    -    -    20   20   20   20   20   20
NumQueues     16   16   20   -    -    -    -    -    -    -    -    -    -    -
RxQueues      -    -    24   -    -    -    -    -    -    -    -    -    -    -
RxRings       -    -    -    20   20   20   20   20   24   28   28   28   28   28
TxRings       -    -    -    24   24   24   24   24   28   24   24   24   24   24
ExtraTx       -    -    -    -    -    -    -    -    -    32   -    -    -    -
ExtraRx       -    -    -    -    -    -    -    -    -    36   -    -    -    -
BufsHead      -    -    -    -    -    -    -    -    -    -    32   32   32   32
HostTx        -    -    -    -    -    -    -    -    -    -    -    -    -    36
HostRx        -    -    -    -    -    -    -    -    -    -    -    -    -    40
Rest          -    -    -    -    -    -    -    -    -    -    36   36   36   44
`

const ringFields = `
API           A0p   A0   A1   A2p  A2   A3   A4a  A4b  A5   A10  A11  A12  A13  A14
Size          24   40   40   48   48   48   48   48   48   256  256  256  256  256
Avail         12   12   12   12   12   12   12   12   12   -    -    -    -    -
Reserved      -    -    -    20   20   20   20   20   20   -    -    -    -    -
Cur           16   16   16   16   16   16   16   16   16   24   24   24   24   24
BufSize       20   20   20   24   24   24   24   24   24   12   12   12   12   12
Flags         22   22   22   26   26   26   26   26   26   32   32   32   32   32
Narrow        yes  yes  yes  yes  yes  yes  yes  yes  yes  -    -    -    -    -
RingID        -    -    -    -    -    -    -    -    -    16   16   16   16   16
Dir           -    -    -    -    -    -    -    -    -    18   18   18   18   18
Head          -    -    -    -    -    -    -    -    -    20   20   20   20   20
Tail          -    -    -    -    -    -    -    -    -    28   28   28   28   28
Ts            -    24   24   32   32   32   32   32   32   40   40   40   40   40
`

// cell formats a value as in the tables.
func cell(v any) string {
	switch v := v.(type) {
	case bool:
		if v {
			return "yes"
		}
		return "-"
	case abi.Unreg:
		return map[abi.Unreg]string{abi.UnregEnds: "end", abi.UnregRefused: "EINVAL",
			abi.UnregUnknown: "no"}[v]
	}
	if s := fmt.Sprint(v); s != "0" {
		return s
	}
	return "-"
}

// row formats a line of a table.
func row(name string, value func(*abi.API) any) string {
	cells := []string{name}
	for _, a := range abi.APIs {
		cells = append(cells, cell(value(a)))
	}
	return strings.Join(cells, " ")
}

func hex[T uint16 | uint32](v T) string { return fmt.Sprintf("%x", v) }

// offsets formats the rows of a layout's fields.
func offsets(layout func(*abi.API) any) (rows []string) {
	for f := range reflect.TypeOf(layout(abi.APIs[0])).Elem().Fields() {
		if f.Name != "Label" {
			value := func(a *abi.API) any {
				return reflect.ValueOf(layout(a)).Elem().FieldByName(f.Name).Interface()
			}
			rows = append(rows, row(f.Name, value))
		}
	}
	return rows
}

// The tables above agree with abi.APIs.
func TestAPIs(t *testing.T) {
	general := []string{
		row("version", func(a *abi.API) any { return a.Version }),
		row("request", func(a *abi.API) any { return a.Req.Label }),
		row("interface", func(a *abi.API) any { return a.If.Label }),
		row("ring", func(a *abi.API) any { return a.Ring.Label }),
		row("slot", func(a *abi.API) any { return a.SlotSize }),
		row("stride", func(a *abi.API) any { return a.Stride }),
		row("slotflags", func(a *abi.API) any { return hex(a.SlotFlags) }),
		row("ringflags", func(a *abi.API) any { return hex(a.RingFlags) }),
		row("lastcmd", func(a *abi.API) any { return a.MaxCmd }),
		row("unregif", func(a *abi.API) any { return a.Unreg }),
		row("rebind", func(a *abi.API) any { return a.Rebind }),
		row("reinit", func(a *abi.API) any { return a.Reinits }),
		row("ginfo c0xx6991", func(a *abi.API) any {
			n := uint32(abi.NIOCGINFO)&^abi.SizeMask | uint32(a.Req.Size)<<16
			if n&^0xff0000 != 0xc0006991 {
				return hex(n)
			}
			return hex(n >> 16 & 0xff)
		}),
	}
	for want, got := range map[string][]string{
		generations:     general,
		requestFields:   offsets(func(a *abi.API) any { return a.Req }),
		interfaceFields: offsets(func(a *abi.API) any { return a.If }),
		ringFields:      offsets(func(a *abi.API) any { return a.Ring }),
	} {
		got = append([]string{row("API", func(a *abi.API) any { return a })}, got...)
		lines := strings.Split(strings.TrimSpace(want), "\n")
		for i, line := range lines {
			lines[i] = strings.Join(strings.Fields(line), " ")
		}
		if !slices.Equal(lines, got) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
		}
	}
}

// The layouts of the current API agree with the structures of this package.
func TestCurrentLayouts(t *testing.T) {
	today := abi.APIs[len(abi.APIs)-1]
	for name, ours := range map[string]any{"Nmreq": today.Req, "If": today.If, "Ring": today.Ring} {
		i := slices.IndexFunc(layouts, func(l layout) bool { return l.name == name })
		found := 0
		for f, v := range reflect.ValueOf(ours).Elem().Fields() {
			goName := map[string]string{"HostTx": "HostTxRings", "HostRx": "HostRxRings",
				"Ts": "Ts.Sec"}[f.Name]
			if goName == "" {
				goName = f.Name
			}
			for _, field := range layouts[i].fields {
				if field.name != goName {
					continue
				}
				if found++; int(v.Int()) != field.at {
					t.Errorf("%s.%s at %d, in the structure at %d", name, f.Name, v.Int(), field.at)
				}
			}
		}
		if found < 7 {
			t.Errorf("%s: only %d fields are known", name, found)
		}
	}
	if !today.NativeIf() || !today.NativeRing() {
		t.Error("the current API does not have the native layouts")
	}
}

func TestFind(t *testing.T) {
	page, slots8 := abi.Variants{Page: true}, abi.Variants{Slots8: true}
	for _, tt := range []struct {
		size    int
		version uint32
		choose  abi.Variants
		want    string
	}{
		{32, 0, abi.Variants{}, "A0"}, {32, 4711, slots8, "A0"}, {32, 0, page, "A0p"},
		{32, 4711, abi.Variants{Page: true, Slots8: true}, "A0p"},
		{36, 99, page, "A1"}, {36, 99, abi.Variants{}, "A1"}, {44, 0, page, "A2p"},
		{60, 2, page, "A2"}, {60, 3, abi.Variants{}, "A3"}, {60, 4, page, "A4b"}, {60, 4, slots8, "A4a"},
		{60, 5, slots8, "A5"},
		{60, 10, abi.Variants{}, "A10"}, {60, 11, abi.Variants{}, "A11"}, {60, 12, abi.Variants{}, "A12"},
		{60, 13, abi.Variants{}, "A13"},
		{60, 14, page, "A14"}, {60, 15, abi.Variants{}, "A14"}, {60, 1 << 31, abi.Variants{}, "A14"},
		{60, 0, abi.Variants{}, ""}, {60, 1, abi.Variants{}, ""}, {60, 6, abi.Variants{}, ""},
		{60, 9, slots8, ""},
		{40, 3, abi.Variants{}, ""}, {0, 14, page, ""},
	} {
		got := ""
		if a := abi.Find(tt.size, tt.version, tt.choose); a != nil {
			got = a.Label
		}
		if got != tt.want {
			t.Errorf("%d bytes, version %d, %+v: %q, want %q", tt.size, tt.version, tt.choose, got,
				tt.want)
		}
	}
}

// bodies are fields of NIOCCTRL bodies, and their offsets in API 12, 13 and 14.
var bodies = []struct {
	kind uint16
	name string
	size int // of the field
	v12  int // -1: no such field
	v13  int
	v14  int
}{
	{kind: abi.ReqRegister, name: "nr_offset", size: 8, v12: 0, v13: 0, v14: 0},
	{kind: abi.ReqRegister, name: "nr_memsize", size: 8, v12: 8, v13: 8, v14: 8},
	{kind: abi.ReqRegister, name: "nr_tx_slots", size: 4, v12: 16, v13: 16, v14: 16},
	{kind: abi.ReqRegister, name: "nr_rx_slots", size: 4, v12: 20, v13: 20, v14: 20},
	{kind: abi.ReqRegister, name: "nr_tx_rings", size: 2, v12: 24, v13: 24, v14: 24},
	{kind: abi.ReqRegister, name: "nr_rx_rings", size: 2, v12: 26, v13: 26, v14: 26},
	{kind: abi.ReqRegister, name: "nr_host_tx_rings", size: 2, v12: -1, v13: -1, v14: 28},
	{kind: abi.ReqRegister, name: "nr_host_rx_rings", size: 2, v12: -1, v13: -1, v14: 30},
	{kind: abi.ReqRegister, name: "nr_mem_id", size: 2, v12: 28, v13: 28, v14: 32},
	{kind: abi.ReqRegister, name: "nr_ringid", size: 2, v12: 30, v13: 30, v14: 34},
	{kind: abi.ReqRegister, name: "nr_mode", size: 4, v12: 32, v13: 32, v14: 36},
	{kind: abi.ReqRegister, name: "nr_extra_bufs", size: 4, v12: 48, v13: 36, v14: 40},
	{kind: abi.ReqRegister, name: "nr_flags", size: 8, v12: 40, v13: 40, v14: 48},
	{kind: abi.ReqPortInfoGet, name: "nr_memsize", size: 8, v12: 8, v13: 0, v14: 0},
	{kind: abi.ReqPortInfoGet, name: "nr_tx_slots", size: 4, v12: 16, v13: 8, v14: 8},
	{kind: abi.ReqPortInfoGet, name: "nr_rx_slots", size: 4, v12: 20, v13: 12, v14: 12},
	{kind: abi.ReqPortInfoGet, name: "nr_tx_rings", size: 2, v12: 24, v13: 16, v14: 16},
	{kind: abi.ReqPortInfoGet, name: "nr_rx_rings", size: 2, v12: 26, v13: 18, v14: 18},
	{kind: abi.ReqPortInfoGet, name: "nr_host_tx_rings", size: 2, v12: -1, v13: -1, v14: 20},
	{kind: abi.ReqPortInfoGet, name: "nr_mem_id", size: 2, v12: 28, v13: 20, v14: 24},
	{kind: abi.ReqValeAttach, name: "nr_mode", size: 4, v12: 32, v13: 32, v14: 36},
	{kind: abi.ReqValeAttach, name: "nr_flags", size: 8, v12: 40, v13: 40, v14: 48},
	{kind: abi.ReqValeAttach, name: "port_index", size: 4, v12: 56, v13: 48, v14: 56},
	{kind: abi.ReqValeDetach, name: "port_index", size: 4, v12: 0, v13: 0, v14: 0},
	{kind: abi.ReqPortHdrSet, name: "nr_hdr_len", size: 4, v12: 0, v13: 0, v14: 0},
	{kind: abi.ReqPortHdrGet, name: "nr_hdr_len", size: 4, v12: 0, v13: 0, v14: 0},
	{kind: abi.ReqValePollingEnable, name: "nr_mode", size: 4, v12: 0, v13: 0, v14: 0},
	{kind: abi.ReqValePollingDisable, name: "nr_num_polling_cpus", size: 4, v12: 8, v13: 8, v14: 8},
	{kind: abi.ReqSyncKloopStart, name: "sleep_us", size: 4, v12: 0, v13: 0, v14: 0},
}

// sizes are the sizes of bodies in API 12, 13 and 14.
var sizes = map[uint16][3]int{
	abi.ReqRegister: {56, 48, 56}, abi.ReqPortInfoGet: {32, 24, 32},
	abi.ReqValeAttach: {64, 56, 64}, abi.ReqValeDetach: {4, 8, 8},
	abi.ReqValeList: {8, 8, 8}, abi.ReqPortHdrSet: {4, 8, 8}, abi.ReqPortHdrGet: {4, 8, 8},
	abi.ReqValeNewIf:         {16, 16, 16},
	abi.ReqValePollingEnable: {12, 16, 16}, abi.ReqValePollingDisable: {12, 16, 16},
	abi.ReqPoolsInfoGet:   {64, 64, 64},
	abi.ReqSyncKloopStart: {4, 8, 8},
}

func TestOldBodies(t *testing.T) {
	for kind, want := range sizes {
		for i, version := range []uint16{12, 13, 14} {
			old, ok := abi.OldBody(version, kind)
			if !ok {
				old.Size = want[2]
			}
			if old.Size != want[i] {
				t.Errorf("type %d, API %d: %d bytes, want %d", kind, version, old.Size, want[i])
			}
		}
	}
	for _, f := range bodies {
		for version, at := range map[uint16]int{12: f.v12, 13: f.v13} {
			checkField(t, version, f.kind, f.name, at, f.v14, f.size)
		}
	}
}

// checkField fills a field of an old body and checks where it is in the current body, and back.
func checkField(t *testing.T, version, kind uint16, name string, at, v14, size int) {
	t.Helper()
	b, ok := abi.OldBody(version, kind)
	if !ok {
		if at != v14 {
			t.Errorf("API %d, type %d: no translation, but %s moves", version, kind, name)
		}
		return
	}
	mark := []byte{1, 2, 3, 4, 5, 6, 7, 8}[:size]
	old, today, back := make([]byte, b.Size), make([]byte, sizes[kind][2]), make([]byte, b.Size)
	want := make([]byte, len(today))
	if at >= 0 {
		copy(old[at:], mark)
		copy(want[v14:], mark)
	} else { // the field stays as it was in the current body
		copy(today[v14:], mark)
		copy(want[v14:], mark)
	}
	b.ToNew(today, old)
	b.ToOld(back, today)
	if !slices.Equal(today, want) || !slices.Equal(back, old) {
		t.Errorf("API %d, type %d, %s: %v becomes %v, and back %v; want %v", version, kind, name,
			old, today, back, want)
	}
}
