//go:build linux

package control

import (
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
)

// option is an option of a request: where it stands in the client's memory, and what it says.
type option struct {
	abi.Option
	layout *optionLayout
	addr   uint64
	body   []byte        // behind the header
	status syscall.Errno // EOPNOTSUPP until somebody recognises it
}

// optionLayout is how a version has options.
type optionLayout struct {
	header uint64   // bytes
	sizes  []uint64 // of the types that there are, header included; 0 is the size that the option itself names
}

// Layouts of today and of API 12, whose headers had no size, and of whose options only one had
// come to stay.
var (
	options = optionLayout{24, []uint64{abi.OptExtmem: 96, abi.OptSyncKloopEventfds: 0, abi.OptCSB: 40,
		abi.OptSyncKloopMode: 32, abi.OptOffsets: 56}}
	options12 = optionLayout{16, []uint64{abi.OptExtmem: 88}}
)

// optionsOf is the layout that a version has.
func optionsOf(version uint16) *optionLayout {
	if version == abi.OldestControl {
		return &options12
	}
	return &options
}

// has says whether there is an option of that type.
func (l *optionLayout) has(kind uint32) bool { return kind != 0 && int64(kind) < int64(len(l.sizes)) }

// pointerSize is what each option takes beyond its own size, in a request whose size is bounded by ReqMaxSize. For as many
// options as there are types it does not count.
const pointerSize = 8

// readOptions copies the list of options that starts at addr. EINVAL for an option of type 0 and for a known type that
// comes twice, which the options' status says too: what follows is not looked at. EFAULT where there is no memory, EMSGSIZE
// for a list that makes the request too large, or never ends: without a list, so that nothing is written to it.
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

// head is the option's header, as it stands in the client's memory.
func (o *option) head() []byte { return abi.Bytes(&o.Option)[:o.layout.header] }

// size is the option's size in bytes, header included.
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

// writeOptions writes the options' status back, and the bodies of those that went well if the request did.
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
