//go:build linux

package control

import (
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
)

// option is an option of a request, in the client's memory and as a copy.
type option struct {
	abi.Option
	layout *optionLayout
	addr   uint64
	body   []byte        // after the header
	status syscall.Errno // EOPNOTSUPP until a request recognises the option
}

// optionLayout is the layout of options in a version.
type optionLayout struct {
	header uint64   // in bytes
	sizes  []uint64 // by type, header included; 0 means the size in the option's header
}

// Layouts of today and of API 12. API 12 had headers without a size, and of its options only one
// still exists.
var (
	options = optionLayout{24, []uint64{abi.OptExtmem: 96, abi.OptSyncKloopEventfds: 0, abi.OptCSB: 40,
		abi.OptSyncKloopMode: 32, abi.OptOffsets: 56}}
	options12 = optionLayout{16, []uint64{abi.OptExtmem: 88}}
)

// optionsOf returns the layout of a version.
func optionsOf(version uint16) *optionLayout {
	if version == abi.OldestControl {
		return &options12
	}
	return &options
}

// has reports whether options of that type exist.
func (l *optionLayout) has(kind uint32) bool {
	return kind != 0 && int64(kind) < int64(len(l.sizes))
}

// pointerSize is how many bytes each option counts beyond its own size, in a request of at most
// ReqMaxSize bytes. The first OptMax options are exempt.
const pointerSize = 8

// readOptions copies the list of options that starts at addr. It returns EINVAL for an option of
// type 0, and for a known type that occurs twice; the status of these options is EINVAL too, and it
// does not read on. Without a list, so that nothing is written back, it returns EFAULT for unmapped
// memory, and EMSGSIZE for a list that makes the request too large or never ends.
func readOptions(p Process, l *optionLayout, addr uint64, bodySize int) ([]*option, error) {
	var list []*option
	total := uint64(bodySize)
	byType := map[uint32]*option{}
	for addr != 0 {
		o := &option{layout: l, addr: addr, status: syscall.EOPNOTSUPP}
		if p.Read(addr, o.head()) != nil {
			return nil, syscall.EFAULT
		}
		first := byType[o.Type]
		if o.Type == 0 && l == &options || l.has(o.Type) && first != nil {
			o.status = syscall.EINVAL
			if first != nil {
				first.status = syscall.EINVAL
			}
			return append(list, o), syscall.EINVAL
		}
		size, err := o.size()
		total += size
		pointers := uint64(pointerSize * max(0, len(list)+1-abi.OptMax))
		if err != nil || total+pointers > abi.ReqMaxSize {
			return nil, syscall.EMSGSIZE
		}
		o.body = make([]byte, size-l.header)
		if p.Read(addr+l.header, o.body) != nil {
			return nil, syscall.EFAULT
		}
		list = append(list, o)
		byType[o.Type] = o
		addr = o.Next
	}
	return list, nil
}

// option finds an option of the request by its type.
func (k *call) option(kind uint32) *option {
	for _, o := range k.options {
		if o.Type == kind && o.layout.has(kind) {
			return o
		}
	}
	return nil
}

// head returns the option's header, as in the client's memory.
func (o *option) head() []byte { return abi.Bytes(&o.Option)[:o.layout.header] }

// size returns the option's size in bytes, header included.
func (o *option) size() (uint64, error) {
	size := o.layout.header
	if o.layout.has(o.Type) {
		if size = o.layout.sizes[o.Type]; size == 0 {
			size = o.Size
		}
	}
	if size > abi.ReqMaxSize {
		return 0, syscall.EMSGSIZE
	}
	return max(size, o.layout.header), nil
}

// writeOptions writes the status of all options to the client. If the request succeeded, it also
// writes the bodies of options that succeeded.
func writeOptions(p Process, list []*option, ok bool) error {
	for _, o := range list {
		o.Status = uint32(o.status)
		if p.Write(o.addr, o.head()) != nil {
			return syscall.EFAULT
		}
		if ok && o.status == 0 && p.Write(o.addr+o.layout.header, o.body) != nil {
			return syscall.EFAULT
		}
	}
	return nil
}
