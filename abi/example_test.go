package abi_test

import (
	"fmt"

	"github.com/seed-48afdc40/netmap/abi"
)

// A request as it travels through ioctl(2), and back.
func ExampleBytes() {
	r := abi.Register{Mode: abi.RegOneNIC, RingID: 3, TxSlots: 512}
	b := abi.Bytes(&r)
	got := abi.View[abi.Register](b)
	fmt.Println(len(b), "bytes;", got.Mode == abi.RegOneNIC, got.RingID, got.TxSlots)
	// Output:
	// 56 bytes; true 3 512
}

// The first half of a slot is read in one load, so that what was checked is what is used.
func ExampleSlot_Word() {
	slot := abi.Slot{BufIdx: 17, Len: 60, Flags: abi.NSMoreFrag}
	w := slot.Word()
	fmt.Println(w.BufIdx(), w.Len(), w.Flags()&abi.NSMoreFrag != 0)
	// Output:
	// 17 60 true
}
