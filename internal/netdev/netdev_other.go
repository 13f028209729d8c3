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

// Own is the name of an interface's own, of which there is no other.
func Own(name string) (string, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return "", err
	}
	return i.Name, nil
}
