//go:build linux

package ifioctl

import (
	"bytes"
	"math/bits"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// command describes a command of SIOCETHTOOL. What the kernel reads and writes is a structure of
// fixed size. Some structures are followed by an array, whose size they contain.
type command struct {
	half
	size  int
	array func(head []byte) int // the array's size in bytes; nil for no array
	told  told
}

// told tells where the size of the array comes from.
type told int

const (
	byAnswer   told = iota // from the kernel's answer
	byCaller               // from the caller, without an array
	byCallerIn             // from the caller, with an array
	byBoth                 // from both: the smaller size
)

// elements is the size function of an array whose number of elements stands at an offset of the
// structure.
func elements(at, size int) func([]byte) int {
	return func(head []byte) int { return int(min(native.Uint32(head[at:]), mostData)) * size }
}

var (
	bytesAt8   = elements(8, 1)
	bytesAt12  = elements(12, 1)
	stringsAt8 = elements(8, 32)
	words64    = elements(4, 8)
)

// ruleNumbers is the size of an array that begins in the padding of the structure (ethtool_rxnfc).
func ruleNumbers(head []byte) int { return max(elements(184, 4)(head)-4, 0) }

// setSizes is the size of an array with one element for each bit of the mask (ethtool_sset_info).
func setSizes(head []byte) int { return 4 * bits.OnesCount64(native.Uint64(head[8:])) }

// hash is the size of an indirection table and a key (ethtool_rxfh).
func hash(head []byte) int { return elements(8, 4)(head) + elements(12, 1)(head) }

// linkModes is the size of three bitmaps; a negative length counts as 0 (ethtool_link_settings).
func linkModes(head []byte) int { return 3 * 4 * max(int(int8(head[15])), 0) }

// commands are those of linux/ethtool.h, and what the kernel lets everybody or only an
// administrator do.
var commands = map[uint32]command{
	0x01: {half: reading, size: 44},                                       // GSET
	0x03: {half: reading, size: 196},                                      // GDRVINFO
	0x07: {half: reading, size: 8},                                        // GMSGLVL
	0x0a: {half: reading, size: 8},                                        // GLINK
	0x0e: {half: reading, size: 92},                                       // GCOALESCE
	0x10: {half: reading, size: 36},                                       // GRINGPARAM
	0x12: {half: reading, size: 16},                                       // GPAUSEPARAM
	0x14: {half: reading, size: 8},                                        // GRXCSUM
	0x16: {half: reading, size: 8},                                        // GTXCSUM
	0x18: {half: reading, size: 8},                                        // GSG
	0x1b: {half: reading, size: 12, array: stringsAt8},                    // GSTRINGS
	0x1d: {half: reading, size: 8, array: words64},                        // GSTATS
	0x1e: {half: reading, size: 8},                                        // GTSO
	0x20: {half: reading, size: 8, array: elements(4, 1)},                 // GPERMADDR
	0x21: {half: reading, size: 8},                                        // GUFO
	0x23: {half: reading, size: 8},                                        // GGSO
	0x25: {half: reading, size: 8},                                        // GFLAGS
	0x27: {half: reading, size: 8},                                        // GPFLAGS
	0x29: {half: reading, size: 192},                                      // GRXFH
	0x2b: {half: reading, size: 8},                                        // GGRO
	0x2d: {half: reading, size: 192},                                      // GRXRINGS
	0x2e: {half: reading, size: 192},                                      // GRXCLSRLCNT
	0x2f: {half: reading, size: 192},                                      // GRXCLSRULE
	0x30: {half: reading, size: 192, array: ruleNumbers},                  // GRXCLSRLALL
	0x37: {half: reading, size: 16, array: setSizes},                      // GSSET_INFO
	0x38: {half: reading, size: 8, array: elements(4, 4), told: byCaller}, // GRXFHINDIR
	0x3a: {half: reading, size: 8, array: elements(4, 16), told: byBoth},  // GFEATURES
	0x3c: {half: reading, size: 36},                                       // GCHANNELS
	0x41: {half: reading, size: 44},                                       // GET_TS_INFO
	0x44: {half: reading, size: 40},                                       // GEEE
	0x46: {half: reading, size: 24, array: hash, told: byCaller},          // GRSSH
	0x48: {half: reading, size: 16, array: bytesAt12, told: byCaller},     // GTUNABLE
	0x4a: {half: reading, size: 8, array: words64},                        // GPHYSTATS
	0x4c: {half: reading, size: 48, array: linkModes},                     // GLINKSETTINGS
	0x4e: {half: reading, size: 16, array: bytesAt12, told: byCaller},     // PHY_GTUNABLE
	0x50: {half: reading, size: 16},                                       // GFECPARAM

	0x04: {half: administrative, size: 12, array: bytesAt8},                  // GREGS
	0x05: {half: administrative, size: 20},                                   // GWOL
	0x0b: {half: administrative, size: 16, array: bytesAt12, told: byCaller}, // GEEPROM
	0x42: {half: administrative, size: 44},                                   // GMODULEINFO
	0x43: {half: administrative, size: 16, array: bytesAt12, told: byCaller}, // GMODULEEEPROM

	0x02: {half: administrative, size: 44},                                         // SSET
	0x06: {half: administrative, size: 20},                                         // SWOL
	0x08: {half: administrative, size: 8},                                          // SMSGLVL
	0x09: {half: administrative, size: 4},                                          // NWAY_RST
	0x0c: {half: administrative, size: 16, array: bytesAt12, told: byCallerIn},     // SEEPROM
	0x0f: {half: administrative, size: 92},                                         // SCOALESCE
	0x11: {half: administrative, size: 36},                                         // SRINGPARAM
	0x13: {half: administrative, size: 16},                                         // SPAUSEPARAM
	0x15: {half: administrative, size: 8},                                          // SRXCSUM
	0x17: {half: administrative, size: 8},                                          // STXCSUM
	0x19: {half: administrative, size: 8},                                          // SSG
	0x1c: {half: administrative, size: 8},                                          // PHYS_ID
	0x1f: {half: administrative, size: 8},                                          // STSO
	0x22: {half: administrative, size: 8},                                          // SUFO
	0x24: {half: administrative, size: 8},                                          // SGSO
	0x26: {half: administrative, size: 8},                                          // SFLAGS
	0x28: {half: administrative, size: 8},                                          // SPFLAGS
	0x2a: {half: administrative, size: 192},                                        // SRXFH
	0x2c: {half: administrative, size: 8},                                          // SGRO
	0x31: {half: administrative, size: 192},                                        // SRXCLSRLDEL
	0x32: {half: administrative, size: 192},                                        // SRXCLSRLINS
	0x34: {half: administrative, size: 8},                                          // RESET
	0x39: {half: administrative, size: 8, array: elements(4, 4), told: byCallerIn}, // SRXFHINDIR
	0x3b: {half: administrative, size: 8, array: elements(4, 8), told: byCallerIn}, // SFEATURES
	0x3d: {half: administrative, size: 36},                                         // SCHANNELS
	0x45: {half: administrative, size: 40},                                         // SEEE
	0x47: {half: administrative, size: 24, array: hash, told: byCallerIn},          // SRSSH
	0x49: {half: administrative, size: 16, array: bytesAt12, told: byCallerIn},     // STUNABLE
	0x4d: {half: administrative, size: 48, array: linkModes, told: byCallerIn},     // SLINKSETTINGS
	0x4f: {half: administrative, size: 16, array: bytesAt12, told: byCallerIn},     // PHY_STUNABLE
	0x51: {half: administrative, size: 16},                                         // SFECPARAM
}

// mostData is the largest size of structure and array. Some drivers have thousands of counters with
// names.
const mostData = 1 << 20

// newData returns memory for the kernel to write to. The page behind the memory is not accessible,
// because the kernel does not ask how much room there is.
func newData() ([]byte, error) {
	page := os.Getpagesize()
	m, err := unix.Mmap(-1, 0, mostData+page, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err == nil {
		err = unix.Mprotect(m[mostData:], unix.PROT_NONE)
	}
	return m, err
}

// ethtool runs the command on a copy of its data.
func (c *Call) ethtool(r *ifreq) error {
	addr := r.data()
	var number [4]byte
	if err := c.Memory.Read(addr, number[:]); err != nil {
		return err
	}
	cmd, ok := commands[native.Uint32(number[:])]
	switch {
	case !ok:
		return syscall.EOPNOTSUPP
	case cmd.half != reading && !c.Admin():
		return syscall.EPERM
	}
	data, err := newData()
	if err != nil {
		return syscall.ENOMEM
	}
	defer unix.Munmap(data)
	copy(data, number[:])
	if err := c.Memory.Read(addr+4, data[4:cmd.size]); err != nil {
		return err
	}
	in, before := cmd.size, bytes.Clone(data[:cmd.size])
	if cmd.told == byCallerIn && cmd.array != nil {
		in += cmd.array(before)
		if in > mostData {
			return syscall.EINVAL
		}
		if err := c.Memory.Read(addr+uint64(cmd.size), data[cmd.size:in]); err != nil {
			return err
		}
		before = bytes.Clone(data[:in])
	}
	if c.Ended() {
		return syscall.EINTR
	}
	if e := ioctlData(c.Socket, unix.SIOCETHTOOL, *r, data[:mostData]); e != 0 {
		return e
	}
	out := cmd.size + cmd.answered(before, data)
	switch {
	case out > mostData:
		return syscall.EINVAL
	case out <= in && bytes.Equal(data[:out], before[:out]):
		return nil // nothing new to write: the caller's memory may be read-only
	}
	return c.Memory.Write(addr, data[:out])
}

// answered is the length of the array that the kernel has written.
func (c *command) answered(before, after []byte) int {
	switch {
	case c.array == nil:
		return 0
	case c.told == byAnswer:
		return c.array(after)
	case c.told == byBoth:
		return min(c.array(before), c.array(after))
	}
	return c.array(before)
}
