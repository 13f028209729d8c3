package abi

// API is a generation of the interface: what its programs put into requests and find in shared memory. In the layouts,
// numbers are offsets in bytes, and 0 is a field that the generation does not have.
type API struct {
	// Label is how this project calls the generation. Version numbers do not do: the first generations have none, and
	// number 4 stands for two.
	Label   string
	Version uint32 // NETMAP_API, 0 before there was one

	Req  *ReqLayout
	If   *IfLayout
	Ring *RingLayout

	SlotSize  int    // bytes: BufIdx, Len and Flags, and in 16 also Ptr
	SlotFlags uint16 // NS_* that its programs know
	RingFlags uint32 // NR_* of a ring that its programs know
	MaxCmd    uint16 // the last nr_cmd, where the request has one

	Unreg   Unreg
	Rebind  bool // NIOCREGIF of a bound descriptor chooses other rings
	Sizes   bool // rings and slots in a request are wishes; before, they were whatever the program left there
	AnyName bool // "vale1" without a colon is a port, of switch "vale"
	Stride  int  // of buffers in bytes, where programs have it built in
	Reinits bool // NRReinit marks a ring that made no sense, and one poll says POLLERR for it
}

// NRReinit is a ring flag of the first APIs, set by the framework. // NR_REINIT
const NRReinit = 0x0001

// Unreg is what NIOCUNREGIF does.
type Unreg uint8

// Kinds of Unreg.
const (
	UnregUnknown Unreg = iota // EOPNOTSUPP: there is no such request any more
	UnregRefused              // EINVAL: deprecated
	UnregEnds                 // it ends the binding; ENXIO where there is none
)

// ReqLayout is a struct nmreq, with its name at 0. All are u32 but the rings, RingID, Cmd, Arg1 and Arg2, which are u16.
type ReqLayout struct {
	Label                              string
	Size                               int
	Version, Offset, MemSize           int
	NumSlots, NumRings                 int // of both directions, instead of the next four
	TxSlots, RxSlots, TxRings, RxRings int
	RingID, Cmd, Arg1, Arg2            int
	Arg3, Flags                        int
}

// IfLayout is a struct netmap_if, with its name at 0 and the ring offsets from Size on. All are u32. Behind the hardware
// rings of a direction comes one host ring, however many there are.
type IfLayout struct {
	Label                string
	Size                 int
	Version, Flags       int
	NumQueues, RxQueues  int // ring pairs; RxQueues is 0 for "as many"
	RxRings, TxRings     int
	ExtraTx, ExtraRx     int
	BufsHead             int
	HostTx, HostRx, Rest int // Rest is where the spare words start, of the layouts that have some
}

// RingLayout is a struct netmap_ring, with BufOfs at 0, NumSlots at 8 and the slots from Size on. All are u32 but RingID and
// Dir, which are u16, and Ts.
type RingLayout struct {
	Label           string
	Size            int
	Avail, Reserved int // of the protocol before head and tail
	Cur             int
	BufSize, Flags  int
	Narrow          bool // BufSize and Flags are u16
	RingID, Dir     int
	Head, Tail      int
	Ts              int
}

// Layouts of requests.
var (
	q32 = &ReqLayout{Label: "Q32", Size: 32, Offset: 16, MemSize: 20, NumSlots: 24, NumRings: 28, RingID: 30}
	q36 = &ReqLayout{Label: "Q36", Size: 36, Version: 16, Offset: 20, MemSize: 24, NumSlots: 28, NumRings: 32, RingID: 34}
	q44 = later("Q44", 44, ReqLayout{})
	q60 = later("Q60", 60, ReqLayout{})
	// The spare words were put to use one after another.
	q60Cmd = later("Q60", 60, ReqLayout{Cmd: 42, Arg1: 44, Arg2: 46})
	q60All = later("Q60", 60, ReqLayout{Cmd: 42, Arg1: 44, Arg2: 46, Arg3: 48, Flags: 52})
)

// later completes a request of API 2 and later.
func later(label string, size int, l ReqLayout) *ReqLayout {
	l.Label, l.Size, l.Version, l.Offset, l.MemSize = label, size, 16, 20, 24
	l.TxSlots, l.RxSlots, l.TxRings, l.RxRings, l.RingID = 28, 32, 36, 38, 40
	return &l
}

// Layouts of interfaces. Mind the order of tx and rx.
var (
	i24  = &IfLayout{Label: "I24", Size: 24, NumQueues: 16}
	i32q = &IfLayout{Label: "I32q", Size: 32, Version: 16, NumQueues: 20, RxQueues: 24}
	i32r = &IfLayout{Label: "I32r", Size: 32, Version: 16, RxRings: 20, TxRings: 24}
	i32f = &IfLayout{Label: "I32f", Size: 32, Version: 16, Flags: 20, RxRings: 24, TxRings: 28}
	i40  = &IfLayout{Label: "I40", Size: 40, Version: 16, Flags: 20, TxRings: 24, RxRings: 28, ExtraTx: 32, ExtraRx: 36}
	i56  = &IfLayout{Label: "I56", Size: 56, Version: 16, Flags: 20, TxRings: 24, RxRings: 28, BufsHead: 32, Rest: 36}
	i56h = &IfLayout{Label: "I56h", Size: IfSize, Version: 16, Flags: 20, TxRings: 24, RxRings: 28, BufsHead: 32, HostTx: 36, HostRx: 40, Rest: 44}
)

// Layouts of rings.
var (
	// As the first manual page prints it.
	r24 = &RingLayout{Label: "R24", Size: 24, Avail: 12, Cur: 16, BufSize: 20, Flags: 22, Narrow: true}

	r40  = &RingLayout{Label: "R40", Size: 40, Avail: 12, Cur: 16, BufSize: 20, Flags: 22, Narrow: true, Ts: 24}
	r48  = &RingLayout{Label: "R48", Size: 48, Avail: 12, Cur: 16, Reserved: 20, BufSize: 24, Flags: 26, Narrow: true, Ts: 32}
	r256 = &RingLayout{Label: "R256", Size: RingSize, BufSize: 12, RingID: 16, Dir: 18, Head: 20, Cur: 24, Tail: 28, Flags: 32, Ts: 40}
)

// What programs know of flags.
const (
	flagsOf2011 = NSBufChanged | NSReport
	flagsOf2012 = flagsOf2011 | NSForward | NSNoLearn
	flagsOf2013 = flagsOf2012 | NSMoreFrag | NSPortMask
	flagsSince  = flagsOf2013 | NSIndirect

	ringOf2011 = NRTimestamp
	ringSince  = NRTimestamp | NRForward
)

// APIs are all generations that are served, the oldest first.
var APIs = []*API{
	{Label: "A0p", Req: q32, If: i24, Ring: r24, SlotSize: 8, SlotFlags: flagsOf2011, RingFlags: ringOf2011,
		Unreg: UnregEnds, Rebind: true, Stride: 2048, Reinits: true},
	{Label: "A0", Req: q32, If: i24, Ring: r40, SlotSize: 8, SlotFlags: flagsOf2011, RingFlags: ringOf2011,
		Unreg: UnregEnds, Rebind: true, Stride: 2048, Reinits: true},
	{Label: "A1", Req: q36, If: i32q, Ring: r40, SlotSize: 8, SlotFlags: flagsOf2011, RingFlags: ringOf2011,
		Unreg: UnregEnds, Rebind: true, Stride: 2048, Reinits: true},
	{Label: "A2p", Req: q44, If: i32r, Ring: r48, SlotSize: 8, SlotFlags: flagsOf2011, RingFlags: ringOf2011,
		Unreg: UnregEnds, Rebind: true},
	{Label: "A2", Version: 2, Req: q60, If: i32r, Ring: r48, SlotSize: 8, SlotFlags: flagsOf2011, RingFlags: ringOf2011,
		Unreg: UnregEnds, Rebind: true},
	{Label: "A3", Version: 3, Req: q60, If: i32r, Ring: r48, SlotSize: 8, SlotFlags: flagsOf2012, RingFlags: ringSince,
		Unreg: UnregEnds, Rebind: true, Sizes: true, AnyName: true},
	{Label: "A4a", Version: 4, Req: q60Cmd, If: i32r, Ring: r48, SlotSize: 8, SlotFlags: flagsOf2013, RingFlags: ringSince,
		MaxCmd: CmdBdgList, Unreg: UnregRefused, Rebind: true, Sizes: true, AnyName: true},
	{Label: "A4b", Version: 4, Req: q60Cmd, If: i32r, Ring: r48, SlotSize: 16, SlotFlags: flagsSince, RingFlags: ringSince,
		MaxCmd: CmdBdgList, Unreg: UnregRefused, Rebind: true, Sizes: true, AnyName: true},
	{Label: "A5", Version: 5, Req: q60Cmd, If: i32f, Ring: r48, SlotSize: 16, SlotFlags: flagsSince, RingFlags: ringSince,
		MaxCmd: CmdBdgVnetHdr, Unreg: UnregRefused, Rebind: true, Sizes: true, AnyName: true},
	{Label: "A10", Version: 10, Req: q60Cmd, If: i40, Ring: r256, SlotSize: SlotSize, SlotFlags: flagsSince, RingFlags: ringSince,
		MaxCmd: CmdBdgVnetHdr, Rebind: true, Sizes: true, AnyName: true},
	modern("A11", 11, i56, CmdPoolsInfoGet),
	modern("A12", 12, i56, CmdVnetHdrGet),
	modern("A13", 13, i56, CmdVnetHdrGet),
	modern("A14", Version, i56h, CmdVnetHdrGet),
}

// modern is one of the generations that share rings, legacy request and interface.
func modern(label string, version uint32, iface *IfLayout, maxCmd uint16) *API {
	return &API{Label: label, Version: version, Req: q60All, If: iface, Ring: r256, SlotSize: SlotSize,
		SlotFlags: flagsSince | NSTxMon, RingFlags: ringSince, MaxCmd: maxCmd, Sizes: true}
}

// Variants choose between generations that a request does not tell apart.
type Variants struct {
	// Page takes programs of the first API for such that know the ring that its manual page
	// prints. That of the first header has a time stamp before the slots.
	Page bool
	// Slots8 takes programs of API 4 for FreeBSD's of 2013, whose slots have 8 bytes. On Linux
	// they had 16.
	Slots8 bool
}

// fit says whether a generation is the one chosen of two.
func (v Variants) fit(a *API) bool {
	switch {
	case a.Req == q32:
		return v.Page == (a.Ring == r24)
	case a.Version == 4:
		return v.Slots8 == (a.SlotSize == 8)
	}
	return true
}

// Find is the generation that a legacy request is of, from the request's size and, where it says one, the version in it;
// nil for one that never was. A version after Version counts as that.
func Find(size int, version uint32, v Variants) *API {
	for _, a := range APIs {
		switch {
		case a.Req.Size != size || !v.fit(a):
		case a.Version == 0, a.Version == version, a.Version == Version && version > Version:
			return a
		}
	}
	return nil
}

// NativeIf and NativeRing say whether the layout is that of If and of Ring and Slot. An IfLayout without host rings is,
// where their numbers stand in spare words.
func (a *API) NativeIf() bool { return a.If == i56 || a.If == i56h }

// NativeRing is the other half of NativeIf.
func (a *API) NativeRing() bool { return a.Ring == r256 }

func (a *API) String() string { return a.Label }
