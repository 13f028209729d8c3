package abi_test

import (
	"fmt"

	"github.com/seed-48afdc40/netmap/abi"
)

// Converts a request to the bytes that ioctl(2) takes, and back.
func ExampleBytes() {
	r := abi.Register{Mode: abi.RegOneNIC, RingID: 3, TxSlots: 512}
	b := abi.Bytes(&r)
	got := abi.View[abi.Register](b)
	fmt.Println(len(b), "bytes;", got.Mode == abi.RegOneNIC, got.RingID, got.TxSlots)
	// Output:
	// 56 bytes; true 3 512
}

// Reads the first half of a slot in one load, so that the values that are checked are those that
// are used.
func ExampleSlot_Word() {
	slot := abi.Slot{BufIdx: 17, Len: 60, Flags: abi.NSMoreFrag}
	w := slot.Word()
	fmt.Println(w.BufIdx(), w.Len(), w.Flags()&abi.NSMoreFrag != 0)
	// Output:
	// 17 60 true
}
