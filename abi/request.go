package abi

import "sync/atomic"

// Nmreq is the request of the legacy ioctls NIOCGINFO and NIOCREGIF in APIs 11 to 14 (struct
// nmreq).
type Nmreq struct {
	Name    [IfNameSize]byte // nr_name
	Version uint32           // nr_version
	Offset  uint32           // nr_offset: of the If in the region; out
	MemSize uint32           // nr_memsize: of the region, bytes; out
	TxSlots uint32           // nr_tx_slots
	RxSlots uint32           // nr_rx_slots
	TxRings uint16           // nr_tx_rings
	RxRings uint16           // nr_rx_rings
	RingID  uint16           // nr_ringid: number and the NETMAP_* bits below
	Cmd     uint16           // nr_cmd: Cmd*
	Arg1    uint16           // nr_arg1
	Arg2    uint16           // nr_arg2: memory id
	Arg3    uint32           // nr_arg3: extra buffers
	Flags   uint32           // nr_flags: mode in the low nibble, NR_* above
	_       uint32           // spare2
}

// Bits of Nmreq.RingID.
const (
	RingMask = 0x0fff // NETMAP_RING_MASK
	NoTxPoll = 0x1000 // NETMAP_NO_TX_POLL
	SWRing   = 0x2000 // NETMAP_SW_RING
	HWRing   = 0x4000 // NETMAP_HW_RING
	DoRxPoll = 0x8000 // NETMAP_DO_RX_POLL
)

const (
	LegacyMin = 11  // the first API with the layout of Nmreq
	ModeMask  = 0xf // NR_REG_MASK: the mode in Nmreq.Flags
	BdgHost   = 1   // NETMAP_BDG_HOST: Arg1 of an attach that includes the host stack
)

// Values of Nmreq.Cmd.
const (
	CmdNone          = 0
	CmdBdgAttach     = 1  // NETMAP_BDG_ATTACH
	CmdBdgDetach     = 2  // NETMAP_BDG_DETACH
	CmdBdgRegops     = 3  // NETMAP_BDG_REGOPS
	CmdBdgList       = 4  // NETMAP_BDG_LIST
	CmdBdgVnetHdr    = 5  // NETMAP_BDG_VNET_HDR
	CmdBdgNewIf      = 6  // NETMAP_BDG_NEWIF
	CmdBdgDelIf      = 7  // NETMAP_BDG_DELIF
	CmdPtHostCreate  = 8  // NETMAP_PT_HOST_CREATE
	CmdPtHostDelete  = 9  // NETMAP_PT_HOST_DELETE
	CmdBdgPollingOn  = 10 // NETMAP_BDG_POLLING_ON
	CmdBdgPollingOff = 11 // NETMAP_BDG_POLLING_OFF
	CmdVnetHdrGet    = 12 // NETMAP_VNET_HDR_GET
	CmdPoolsInfoGet  = 13 // NETMAP_POOLS_INFO_GET
)

// Header starts every NIOCCTRL request (struct nmreq_header).
type Header struct {
	Version  uint16            // nr_version
	Type     uint16            // nr_reqtype: Req*
	Reserved uint32            // nr_reserved: 0
	Name     [ReqNameSize]byte // nr_name: the port
	Options  uint64            // nr_options: address of the first Option, 0 for none
	Body     uint64            // nr_body: address of the body, 0 if the type has none
}

// Types of a request.
const (
	ReqRegister           = 1  // NETMAP_REQ_REGISTER
	ReqPortInfoGet        = 2  // NETMAP_REQ_PORT_INFO_GET
	ReqValeAttach         = 3  // NETMAP_REQ_VALE_ATTACH
	ReqValeDetach         = 4  // NETMAP_REQ_VALE_DETACH
	ReqValeList           = 5  // NETMAP_REQ_VALE_LIST
	ReqPortHdrSet         = 6  // NETMAP_REQ_PORT_HDR_SET
	ReqPortHdrGet         = 7  // NETMAP_REQ_PORT_HDR_GET
	ReqValeNewIf          = 8  // NETMAP_REQ_VALE_NEWIF
	ReqValeDelIf          = 9  // NETMAP_REQ_VALE_DELIF
	ReqValePollingEnable  = 10 // NETMAP_REQ_VALE_POLLING_ENABLE
	ReqValePollingDisable = 11 // NETMAP_REQ_VALE_POLLING_DISABLE
	ReqPoolsInfoGet       = 12 // NETMAP_REQ_POOLS_INFO_GET
	ReqSyncKloopStart     = 13 // NETMAP_REQ_SYNC_KLOOP_START
	ReqSyncKloopStop      = 14 // NETMAP_REQ_SYNC_KLOOP_STOP
	ReqCSBEnable          = 15 // NETMAP_REQ_CSB_ENABLE
)

// ReqMaxSize limits the size of a request's body and options together, in bytes
// (NETMAP_REQ_MAXSIZE).
const ReqMaxSize = 4096

// Register binds a descriptor to a port (struct nmreq_register).
type Register struct {
	Offset      uint64 // nr_offset: of the If in the region; out
	MemSize     uint64 // nr_memsize: of the region, bytes; out
	TxSlots     uint32 // nr_tx_slots: a wish; the answer is the actual number; likewise below
	RxSlots     uint32 // nr_rx_slots
	TxRings     uint16 // nr_tx_rings
	RxRings     uint16 // nr_rx_rings
	HostTxRings uint16 // nr_host_tx_rings
	HostRxRings uint16 // nr_host_rx_rings
	MemID       uint16 // nr_mem_id
	RingID      uint16 // nr_ringid: for RegOneNIC and RegOneSW
	Mode        uint32 // nr_mode: Reg*
	ExtraBufs   uint32 // nr_extra_bufs: a wish; the answer may be less
	_           uint32
	Flags       uint64 // nr_flags: NR*
}

// Modes of a registration.
const (
	RegDefault    = 0 // NR_REG_DEFAULT: legacy, from nr_ringid
	RegAllNIC     = 1 // NR_REG_ALL_NIC: all hardware rings
	RegSW         = 2 // NR_REG_SW: host rings
	RegNICSW      = 3 // NR_REG_NIC_SW: both
	RegOneNIC     = 4 // NR_REG_ONE_NIC: one hardware ring pair
	RegPipeMaster = 5 // NR_REG_PIPE_MASTER: legacy
	RegPipeSlave  = 6 // NR_REG_PIPE_SLAVE: legacy
	RegNull       = 7 // NR_REG_NULL: a port without a device
	RegOneSW      = 8 // NR_REG_ONE_SW: one host ring pair
)

// Flags of a registration.
const (
	NRMonitorTx     = 0x100   // NR_MONITOR_TX
	NRMonitorRx     = 0x200   // NR_MONITOR_RX
	NRZcopyMon      = 0x400   // NR_ZCOPY_MON
	NRExclusive     = 0x800   // NR_EXCLUSIVE
	NRPtnetmapHost  = 0x1000  // NR_PTNETMAP_HOST: unused
	NRRxRingsOnly   = 0x2000  // NR_RX_RINGS_ONLY
	NRTxRingsOnly   = 0x4000  // NR_TX_RINGS_ONLY
	NRAcceptVnetHdr = 0x8000  // NR_ACCEPT_VNET_HDR
	NRDoRxPoll      = 0x10000 // NR_DO_RX_POLL: no effect
	NRNoTxPoll      = 0x20000 // NR_NO_TX_POLL: poll sends only if POLLOUT is asked for

	// NRRxStamps asks for the time of arrival in Ptr of every received slot. Only this project has
	// it.
	NRRxStamps = 0x40000000
)

// PortInfo is the answer to ReqPortInfoGet (struct nmreq_port_info_get).
type PortInfo struct {
	MemSize     uint64 // nr_memsize
	TxSlots     uint32 // nr_tx_slots
	RxSlots     uint32 // nr_rx_slots
	TxRings     uint16 // nr_tx_rings
	RxRings     uint16 // nr_rx_rings
	HostTxRings uint16 // nr_host_tx_rings
	HostRxRings uint16 // nr_host_rx_rings
	MemID       uint16 // nr_mem_id
	_           [3]uint16
}

// ValeAttach attaches a NIC to a switch (struct nmreq_vale_attach).
type ValeAttach struct {
	Reg       Register // reg
	PortIndex uint32   // port_index; out
	_         uint32
}

// ValeDetach detaches a NIC from a switch (struct nmreq_vale_detach).
type ValeDetach struct {
	PortIndex uint32 // port_index; out
	_         uint32
}

// ValeList asks for one port of all switches (struct nmreq_vale_list).
type ValeList struct {
	BridgeIdx uint16 // nr_bridge_idx
	_         uint16
	PortIdx   uint32 // nr_port_idx
}

// PortHdr carries the length of a port's virtio-net header: 0, 10 or 12 bytes (struct
// nmreq_port_hdr).
type PortHdr struct {
	HdrLen uint32 // nr_hdr_len
	_      uint32
}

// ValeNewIf creates a persistent port (struct nmreq_vale_newif).
type ValeNewIf struct {
	TxSlots uint32 // nr_tx_slots
	RxSlots uint32 // nr_rx_slots
	TxRings uint16 // nr_tx_rings
	RxRings uint16 // nr_rx_rings
	MemID   uint16 // nr_mem_id
	_       uint16
}

// ValePolling makes processors poll a NIC for a switch (struct nmreq_vale_polling).
type ValePolling struct {
	Mode           uint32 // nr_mode: PollingSingleCPU or PollingMultiCPU
	FirstCPU       uint32 // nr_first_cpu_id
	NumPollingCPUs uint32 // nr_num_polling_cpus
	_              uint32
}

// Modes of ValePolling.
const (
	PollingSingleCPU = 1 // NETMAP_POLLING_MODE_SINGLE_CPU
	PollingMultiCPU  = 2 // NETMAP_POLLING_MODE_MULTI_CPU
)

// PoolInfo describes a pool in PoolsInfo.
type PoolInfo struct {
	Offset   uint64 // bytes from the start of the region
	ObjTotal uint32
	ObjSize  uint32 // bytes
}

// PoolsInfo is the answer to ReqPoolsInfoGet (struct nmreq_pools_info).
type PoolsInfo struct {
	MemSize uint64 // nr_memsize
	MemID   uint16 // nr_mem_id
	_       [3]uint16
	If      PoolInfo // nr_if_pool_*
	Ring    PoolInfo // nr_ring_pool_*
	Buf     PoolInfo // nr_buf_pool_*
}

// SyncKloopStart runs the sync loop until it is stopped (struct nmreq_sync_kloop_start).
type SyncKloopStart struct {
	SleepUs uint32 // sleep_us
	_       uint32
}

// Option starts every option of a request (struct nmreq_option).
type Option struct {
	Next   uint64 // nro_next: address of the next option, 0 at the end
	Type   uint32 // nro_reqtype: Opt*
	Status uint32 // nro_status: 0 or an errno; out
	Size   uint64 // nro_size: bytes, including this header; read for options of variable size
}

// Types of an option.
const (
	OptExtmem            = 1 // NETMAP_REQ_OPT_EXTMEM
	OptSyncKloopEventfds = 2 // NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS
	OptCSB               = 3 // NETMAP_REQ_OPT_CSB
	OptSyncKloopMode     = 4 // NETMAP_REQ_OPT_SYNC_KLOOP_MODE
	OptOffsets           = 5 // NETMAP_REQ_OPT_OFFSETS
	OptMax               = 6 // NETMAP_REQ_OPT_MAX
)

// OptionExtmem offers the caller's own memory as a region (struct nmreq_opt_extmem).
type OptionExtmem struct {
	Option
	UsrPtr uint64    // nro_usrptr
	Info   PoolsInfo // nro_info
}

// OptionCSB names the two arrays of a sync loop (struct nmreq_opt_csb).
type OptionCSB struct {
	Option
	Atok uint64 // csb_atok: application to framework
	Ktoa uint64 // csb_ktoa: framework to application
}

// KloopEventfd is an entry of OptSyncKloopEventfds, whose array follows its Option.
type KloopEventfd struct {
	IoEventfd int32 // ioeventfd: application to framework
	IrqFd     int32 // irqfd: framework to application
}

// OptionKloopMode asks for direct modes (struct nmreq_opt_sync_kloop_mode).
type OptionKloopMode struct {
	Option
	Mode uint32 // mode: KloopDirectTx, KloopDirectRx
	_    uint32
}

// Bits of OptionKloopMode.Mode.
const (
	KloopDirectTx = 1 // NM_OPT_SYNC_KLOOP_DIRECT_TX
	KloopDirectRx = 2 // NM_OPT_SYNC_KLOOP_DIRECT_RX
)

// OptionOffsets makes packets start inside their buffers (struct nmreq_opt_offsets).
type OptionOffsets struct {
	Option
	MaxOffset     uint64 // nro_max_offset
	InitialOffset uint64 // nro_initial_offset
	OffsetBits    uint32 // nro_offset_bits
	TxAlign       uint32 // nro_tx_align
	MinGap        uint64 // nro_min_gap
}

// CSBAtok is what the application tells a sync loop about one ring (struct nm_csb_atok).
//
// It is in shared memory. The application writes it; the framework initializes it. The application
// writes Cur before Head, and the loop reads Head before Cur: so the loop never reads a head with a
// cur that is older.
type CSBAtok struct {
	Head         atomic.Uint32 // head: as in Ring
	Cur          atomic.Uint32 // cur
	ApplNeedKick atomic.Uint32 // appl_need_kick: the application sleeps or is about to: wake it
	SyncFlags    atomic.Uint32 // sync_flags: no effect here; upstream, flags for the driver's sync
	_            [48]byte
}

// CSBKtoa is what a sync loop tells the application about one ring (struct nm_csb_ktoa).
//
// The framework writes it. The loop writes HwCur before HwTail, and the application reads HwTail
// before HwCur.
type CSBKtoa struct {
	HwCur        atomic.Uint32 // hwcur: the loop has taken over the slots before it
	HwTail       atomic.Uint32 // hwtail: as Ring.Tail without a loop
	KernNeedKick atomic.Uint32 // kern_need_kick: the loop sleeps or is about to: wake it
	_            [52]byte
}

// CSBEntrySize is the size of an entry of both arrays, and the alignment of the arrays.
const CSBEntrySize = 64
