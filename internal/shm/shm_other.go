//go:build unix && !linux

package shm

import "golang.org/x/sys/unix"

// Close unmaps the memory. No view into it may be used afterwards.
func (m *Mapping) Close() error {
	if m == nil || m.lent {
		return nil
	}
	b := m.bytes
	m.bytes = nil
	return unix.Munmap(b)
}
