//go:build !linux

package netdev

import "net"

// MaxName is the length of the longest name.
const MaxName = 15

// Exists says whether an interface has the name.
func Exists(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}
