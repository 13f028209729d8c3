package abi

// API is a generation of netmap's interface: the layouts of requests and of shared memory, and the
// rules that changed later. In the layouts, numbers are offsets in bytes; 0 means that the
// generation does not have the field.
type API struct {
	// Label is this project's name of the generation. Version does not identify a generation: the
	// first ones have none, and two have number 4.
	Label   string
	Version uint32 // NETMAP_API; 0 for the first generations

	Req  *ReqLayout
	If   *IfLayout
	Ring *RingLayout

	SlotSize  int    // bytes: BufIdx, Len and Flags; with 16 also Ptr
	SlotFlags uint16 // NS_* flags that the generation has
	RingFlags uint32 // NR_* ring flags that the generation has
	MaxCmd    uint16 // largest nr_cmd, if the request has one

	Unreg   Unreg
	Rebind  bool // NIOCREGIF of a bound descriptor selects other rings
	Sizes   bool // a request's numbers of rings and slots are wishes; earlier, anything
	AnyName bool // "vale1" without a colon is a port, of switch "vale"
	Stride  int  // bytes from buffer to buffer, if programs have a constant for it
	Reinits bool // NRReinit marks a ring with invalid indexes, and one poll returns POLLERR for it
}

// NRReinit is a ring flag of the first APIs, set by the framework (NR_REINIT).
const NRReinit = 0x0001

// Unreg is the effect of NIOCUNREGIF.
type Unreg uint8

// Effects of NIOCUNREGIF.
const (
	UnregUnknown Unreg = iota // EOPNOTSUPP: the request does not exist any more
	UnregRefused              // EINVAL: deprecated
	UnregEnds                 // ends the binding; ENXIO if there is none
)

// ReqLayout describes a struct nmreq, whose name is at 0. NumRings, TxRings, RxRings, RingID, Cmd,
// Arg1 and Arg2 are u16; all others are u32.
type ReqLayout struct {
	Label                              string
	Size                               int
	Version, Offset, MemSize           int
	NumSlots, NumRings                 int // for both directions, instead of the next four
	TxSlots, RxSlots, TxRings, RxRings int
	RingID, Cmd, Arg1, Arg2            int
	Arg3, Flags                        int
}

// IfLayout describes a struct netmap_if, whose name is at 0. The offsets of the rings follow at
// Size. All fields are u32. In each direction one host ring follows the hardware rings.
type IfLayout struct {
	Label                string
	Size                 int
	Version, Flags       int
	NumQueues, RxQueues  int // RxQueues is 0 if there are as many as NumQueues
	RxRings, TxRings     int
	ExtraTx, ExtraRx     int
	BufsHead             int
	HostTx, HostRx, Rest int // Rest is where the spare words start, if there are any
}

// RingLayout describes a struct netmap_ring: BufOfs is at 0, NumSlots at 8, and the slots start at
// Size. RingID and Dir are u16, Ts is a timeval, and all others are u32.
type RingLayout struct {
	Label           string
	Size            int
	Avail, Reserved int // of the protocol that head and tail replaced
	Cur             int
	BufSize, Flags  int
	Narrow          bool // BufSize and Flags are u16
	RingID, Dir     int
	Head, Tail      int
	Ts              int
}

// Layouts of requests.
var (
	q32 = &ReqLayout{Label: "Q32", Size: 32, Offset: 16, MemSize: 20, NumSlots: 24, NumRings: 28,
		RingID: 30}
	q36 = &ReqLayout{Label: "Q36", Size: 36, Version: 16, Offset: 20, MemSize: 24, NumSlots: 28,
		NumRings: 32, RingID: 34}
	q44 = later("Q44", 44, ReqLayout{})
	q60 = later("Q60", 60, ReqLayout{})
	// Later APIs use some of the spare words.
	q60Cmd = later("Q60", 60, ReqLayout{Cmd: 42, Arg1: 44, Arg2: 46})
	q60All = later("Q60", 60, ReqLayout{Cmd: 42, Arg1: 44, Arg2: 46, Arg3: 48, Flags: 52})
)

// later completes the layout of a request since API 2.
func later(label string, size int, l ReqLayout) *ReqLayout {
	l.Label, l.Size, l.Version, l.Offset, l.MemSize = label, size, 16, 20, 24
	l.TxSlots, l.RxSlots, l.TxRings, l.RxRings, l.RingID = 28, 32, 36, 38, 40
	return &l
}

// Layouts of interfaces. Their order of tx and rx differs.
var (
	i24  = &IfLayout{Label: "I24", Size: 24, NumQueues: 16}
	i32q = &IfLayout{Label: "I32q", Size: 32, Version: 16, NumQueues: 20, RxQueues: 24}
	i32r = &IfLayout{Label: "I32r", Size: 32, Version: 16, RxRings: 20, TxRings: 24}
	i32f = &IfLayout{Label: "I32f", Size: 32, Version: 16, Flags: 20, RxRings: 24, TxRings: 28}
	i40  = &IfLayout{Label: "I40", Size: 40, Version: 16, Flags: 20, TxRings: 24, RxRings: 28,
		ExtraTx: 32, ExtraRx: 36}
	i56 = &IfLayout{Label: "I56", Size: 56, Version: 16, Flags: 20, TxRings: 24, RxRings: 28,
		BufsHead: 32, Rest: 36}
	i56h = &IfLayout{Label: "I56h", Size: IfSize, Version: 16, Flags: 20, TxRings: 24, RxRings: 28,
		BufsHead: 32, HostTx: 36, HostRx: 40, Rest: 44}
)

// Layouts of rings.
var (
	// The ring in the first manual page.
	r24 = &RingLayout{Label: "R24", Size: 24, Avail: 12, Cur: 16, BufSize: 20, Flags: 22, Narrow: true}

	r40 = &RingLayout{Label: "R40", Size: 40, Avail: 12, Cur: 16, BufSize: 20, Flags: 22,
		Narrow: true, Ts: 24}
	r48 = &RingLayout{Label: "R48", Size: 48, Avail: 12, Cur: 16, Reserved: 20, BufSize: 24,
		Flags: 26, Narrow: true, Ts: 32}
	r256 = &RingLayout{Label: "R256", Size: RingSize, BufSize: 12, RingID: 16, Dir: 18, Head: 20,
		Cur: 24, Tail: 28, Flags: 32, Ts: 40}
)

// Flags that the generations have.
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
	{Label: "A0p", Req: q32, If: i24, Ring: r24, SlotSize: 8, SlotFlags: flagsOf2011,
		RingFlags: ringOf2011, Unreg: UnregEnds, Rebind: true, Stride: 2048, Reinits: true},
	{Label: "A0", Req: q32, If: i24, Ring: r40, SlotSize: 8, SlotFlags: flagsOf2011,
		RingFlags: ringOf2011, Unreg: UnregEnds, Rebind: true, Stride: 2048, Reinits: true},
	{Label: "A1", Req: q36, If: i32q, Ring: r40, SlotSize: 8, SlotFlags: flagsOf2011,
		RingFlags: ringOf2011, Unreg: UnregEnds, Rebind: true, Stride: 2048, Reinits: true},
	{Label: "A2p", Req: q44, If: i32r, Ring: r48, SlotSize: 8, SlotFlags: flagsOf2011,
		RingFlags: ringOf2011, Unreg: UnregEnds, Rebind: true},
	{Label: "A2", Version: 2, Req: q60, If: i32r, Ring: r48, SlotSize: 8, SlotFlags: flagsOf2011,
		RingFlags: ringOf2011, Unreg: UnregEnds, Rebind: true},
	{Label: "A3", Version: 3, Req: q60, If: i32r, Ring: r48, SlotSize: 8, SlotFlags: flagsOf2012,
		RingFlags: ringSince, Unreg: UnregEnds, Rebind: true, Sizes: true, AnyName: true},
	{Label: "A4a", Version: 4, Req: q60Cmd, If: i32r, Ring: r48, SlotSize: 8, SlotFlags: flagsOf2013,
		RingFlags: ringSince, MaxCmd: CmdBdgList, Unreg: UnregRefused, Rebind: true,
		Sizes: true, AnyName: true},
	{Label: "A4b", Version: 4, Req: q60Cmd, If: i32r, Ring: r48, SlotSize: 16, SlotFlags: flagsSince,
		RingFlags: ringSince, MaxCmd: CmdBdgList, Unreg: UnregRefused, Rebind: true,
		Sizes: true, AnyName: true},
	{Label: "A5", Version: 5, Req: q60Cmd, If: i32f, Ring: r48, SlotSize: 16, SlotFlags: flagsSince,
		RingFlags: ringSince, MaxCmd: CmdBdgVnetHdr, Unreg: UnregRefused, Rebind: true,
		Sizes: true, AnyName: true},
	{Label: "A10", Version: 10, Req: q60Cmd, If: i40, Ring: r256, SlotSize: SlotSize,
		SlotFlags: flagsSince, RingFlags: ringSince, MaxCmd: CmdBdgVnetHdr, Rebind: true,
		Sizes: true, AnyName: true},
	modern("A11", 11, i56, CmdPoolsInfoGet),
	modern("A12", 12, i56, CmdVnetHdrGet),
	modern("A13", 13, i56, CmdVnetHdrGet),
	modern("A14", Version, i56h, CmdVnetHdrGet),
}

// modern returns one of the generations with the same rings and legacy request.
func modern(label string, version uint32, iface *IfLayout, maxCmd uint16) *API {
	return &API{Label: label, Version: version, Req: q60All, If: iface, Ring: r256, SlotSize: SlotSize,
		SlotFlags: flagsSince | NSTxMon, RingFlags: ringSince, MaxCmd: maxCmd, Sizes: true}
}

// Variants choose between generations whose requests look the same.
type Variants struct {
	// Page selects the ring in the manual page of the first API. The ring in its first header has a
	// timestamp before the slots.
	Page bool
	// Slots8 selects FreeBSD's API 4 of 2013, whose slots have 8 bytes. On Linux they had 16.
	Slots8 bool
}

// fit reports whether v selects a and not the generation whose requests look the same.
func (v Variants) fit(a *API) bool {
	switch {
	case a.Req == q32:
		return v.Page == (a.Ring == r24)
	case a.Version == 4:
		return v.Slots8 == (a.SlotSize == 8)
	}
	return true
}

// Find returns the generation of a legacy request with this size and, if the generation has one,
// this version. It returns nil if there is none. A version above Version counts as Version.
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

// NativeIf reports whether the generation's interface has the layout of If. That includes an
// IfLayout without host rings: their numbers are in spare words.
func (a *API) NativeIf() bool { return a.If == i56 || a.If == i56h }

// NativeRing reports whether the generation's rings and slots have the layouts of Ring and Slot.
func (a *API) NativeRing() bool { return a.Ring == r256 }

func (a *API) String() string { return a.Label }
