//go:build !linux

package netdev

import "net"

// MaxName is the length of the longest name.
const MaxName = 15

// Exists reports whether an interface has the name.
func Exists(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

// Own returns the name of the interface: there are no altnames.
func Own(name string) (string, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return "", err
	}
	return i.Name, nil
}
