// Package portname parses and formats the names by which netmap programs open ports.
//
//	[netmap:]interface[pipe][mode][suffix...]
//	vale[switch]:[port][pipe][mode][suffix...]
//
//	pipe     {id     the master end of a pipe
//	         }id     the slave end of a pipe
//	mode     -N      one hardware ring pair
//	         ^       the host rings
//	         ^N      one host ring pair
//	         *       hardware and host rings
//	suffix   /flags  x exclusive, z zero-copy monitor, t and r monitors of tx and rx,
//	                 R and T rx or tx rings only
//	         @N      use the memory region N
//	         @share=name, @conf:key=value,..., @extmem:key=value,..., @offset:key=value,...
//
// In a VALE name, switch and port have at most 15 bytes each. An interface's name, which may be an
// altname, has at most 127 bytes; a port with its pipe at most 63. A name that starts with "vale"
// is always that of a switch's port. The characters - ^ * / @ end the port, unless ParseWith finds
// that they belong to an interface's name.
//
// The keys of @conf are rings, slots and host-rings. Each exists also for one direction (tx-rings,
// host-rx-rings), which wins over the key for both. The keys of @extmem are file, and num and size
// of the pools if, ring and buf (buf-size). The keys of @offset are initial and bits; that of
// @share is port. In a key, _ means the same as -. @conf=N is short for rings, @extmem=F for file,
// @offset=N for initial, @share=P for port.
//
// The package checks the form of a name. Opening the port shows whether it and its rings exist.
package portname

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/seed-48afdc40/netmap/abi"
)

// Name is a parsed port name: which port, which of its rings, and how to open it. Names can be
// compared with ==.
type Name struct {
	Port   string // as the framework knows it, with the pipe: "eth0", "vale0:a", "eth0{1"
	Mode   uint32 // abi.RegAllNIC, RegOneNIC, RegSW, RegOneSW or RegNICSW; 0 is RegAllNIC
	Ring   uint16 // for RegOneNIC and RegOneSW: which ring pair
	Flags  uint64 // abi.NRExclusive, NRZcopyMon, NRMonitorTx and Rx, NRTxRingsOnly and Rx
	MemID  uint16 // the memory region; 0 lets the framework choose
	Share  string // the port whose region to use, in the form of Port, or ""
	Conf   Conf
	Extmem Extmem
	Offset Offset
}

// Conf holds the sizes for a port that opening creates. 0 lets the framework choose.
type Conf struct {
	TxRings, RxRings         uint16
	HostTxRings, HostRxRings uint16
	TxSlots, RxSlots         uint32
}

// Extmem is a file whose memory becomes the region of the port. It is absent if File is "".
type Extmem struct {
	File          string
	If, Ring, Buf Pool
}

// Pool holds the number of objects in a pool and the bytes of each. 0 lets the framework choose.
type Pool struct {
	Num, Size uint32
}

// Offset makes packets start inside their buffers. It is absent if Bits is 0.
type Offset struct {
	Initial uint64 // where packets start in every slot, in bytes; also the largest offset
	Bits    uint32 // how many bits of a slot's ptr hold the offset, 1 to 64
}

// Register returns the body of the request that opens the port. It does not include Share, Extmem
// and Offset: the port of Share has to be looked up, and the others are options of the request.
func (n Name) Register() abi.Register {
	return abi.Register{
		TxSlots:     n.Conf.TxSlots,
		RxSlots:     n.Conf.RxSlots,
		TxRings:     n.Conf.TxRings,
		RxRings:     n.Conf.RxRings,
		HostTxRings: n.Conf.HostTxRings,
		HostRxRings: n.Conf.HostRxRings,
		MemID:       n.MemID,
		RingID:      n.Ring,
		Mode:        cmp.Or(n.Mode, abi.RegAllNIC),
		Flags:       n.Flags,
	}
}

// Option returns the request option for memory at address ptr of size bytes, to which the caller
// has mapped e.File.
func (e Extmem) Option(ptr, size uint64) abi.OptionExtmem {
	pool := func(p Pool) abi.PoolInfo { return abi.PoolInfo{ObjTotal: p.Num, ObjSize: p.Size} }
	return abi.OptionExtmem{
		Option: abi.Option{Type: abi.OptExtmem},
		UsrPtr: ptr,
		Info:   abi.PoolsInfo{MemSize: size, If: pool(e.If), Ring: pool(e.Ring), Buf: pool(e.Buf)},
	}
}

// Option returns the request option.
func (o Offset) Option() abi.OptionOffsets {
	return abi.OptionOffsets{
		Option:        abi.Option{Type: abi.OptOffsets},
		MaxOffset:     o.Initial,
		InitialOffset: o.Initial,
		OffsetBits:    o.Bits,
	}
}

// flagLetters are the flags of a name, in the order in which String writes them.
var flagLetters = []struct {
	letter byte
	flag   uint64
}{
	{'x', abi.NRExclusive},
	{'z', abi.NRZcopyMon},
	{'t', abi.NRMonitorTx},
	{'r', abi.NRMonitorRx},
	{'R', abi.NRRxRingsOnly},
	{'T', abi.NRTxRingsOnly},
}

// String returns the canonical form of the name. It leaves out a mode or flag that the grammar does
// not have.
//
// For every Name that Parse returned, Parse(n.String()) == n. The same holds for ParseWith unless
// an interface's name looks like a ring of another one (eth-0 and eth-00).
func (n Name) String() string {
	var b strings.Builder
	b.WriteString(withPrefix(n.Port))
	switch n.Mode {
	case abi.RegSW:
		b.WriteByte('^')
	case abi.RegOneSW:
		fmt.Fprintf(&b, "^%d", n.Ring)
	case abi.RegNICSW:
		b.WriteByte('*')
	case abi.RegOneNIC:
		fmt.Fprintf(&b, "-%d", n.Ring)
	}
	separator := "/"
	for _, f := range flagLetters {
		if n.Flags&f.flag != 0 {
			b.WriteString(separator)
			b.WriteByte(f.letter)
			separator = ""
		}
	}
	if n.MemID != 0 {
		fmt.Fprintf(&b, "@%d", n.MemID)
	}
	if n.Share != "" {
		b.WriteString("@share=" + withPrefix(n.Share))
	}
	b.WriteString(n.Conf.suffix())
	b.WriteString(n.Extmem.suffix())
	b.WriteString(n.Offset.suffix())
	return b.String()
}

// withPrefix returns a port in the form that every netmap program accepts.
func withPrefix(port string) string {
	if OnSwitch(port) {
		return port
	}
	return netmapPrefix + port
}

// suffix is the @conf option, or "" if it would be empty.
func (c Conf) suffix() string {
	var k keyList
	k.addPair("", "rings", uint64(c.TxRings), uint64(c.RxRings))
	k.addPair("host-", "rings", uint64(c.HostTxRings), uint64(c.HostRxRings))
	k.addPair("", "slots", uint64(c.TxSlots), uint64(c.RxSlots))
	if len(k) == 0 {
		return ""
	}
	return "@conf:" + k.String()
}

// suffix is the @extmem option, or "". A file with a comma in its name is written in the short
// form, the only form for such a name. Parse returns no such file together with other keys.
func (e Extmem) suffix() string {
	if e.File == "" {
		return ""
	}
	k := keyList{"file=" + e.File}
	k.add("if-num", uint64(e.If.Num))
	k.add("if-size", uint64(e.If.Size))
	k.add("ring-num", uint64(e.Ring.Num))
	k.add("ring-size", uint64(e.Ring.Size))
	k.add("buf-num", uint64(e.Buf.Num))
	k.add("buf-size", uint64(e.Buf.Size))
	if len(k) == 1 {
		return "@extmem=" + e.File
	}
	return "@extmem:" + k.String()
}

// suffix is the @offset option, or "".
func (o Offset) suffix() string {
	switch o.Bits {
	case 0:
		return ""
	case wholePtr:
		return fmt.Sprintf("@offset=%d", o.Initial)
	}
	return fmt.Sprintf("@offset:initial=%d,bits=%d", o.Initial, o.Bits)
}

// keyList is the key=value list of an option. Zeros are left out: a missing key means zero.
type keyList []string

func (k keyList) String() string { return strings.Join(k, ",") }

func (k *keyList) add(key string, v uint64) {
	if v != 0 {
		*k = append(*k, fmt.Sprintf("%s=%d", key, v))
	}
}

// addPair adds the key for both directions if their values are equal.
func (k *keyList) addPair(prefix, key string, tx, rx uint64) {
	if tx == rx {
		k.add(prefix+key, tx)
		return
	}
	k.add(prefix+"tx-"+key, tx)
	k.add(prefix+"rx-"+key, rx)
}
