//go:build unix

package shm

import "github.com/seed-48afdc40/netmap/abi"

// Rings returns the places in mem of the bound rings of the interface at place iface. They are in
// the order of their numbers; host rings come last. Rings panics as At does if the interface is
// invalid. It does not check the rings.
func Rings(mem []byte, iface uint64) (tx, rx []uint64) {
	f := At[abi.If](mem, iface)
	ntx, nrx := int(f.TxRings)+int(f.HostTxRings), int(f.RxRings)+int(f.HostRxRings)
	for i, ofs := range Slice[int64](mem, iface+abi.IfSize, ntx+nrx) {
		switch at := iface + uint64(ofs); {
		case ofs == 0: // not bound
		case i < ntx:
			tx = append(tx, at)
		default:
			rx = append(rx, at)
		}
	}
	return tx, rx
}
