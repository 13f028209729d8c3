//go:build linux

package nic

import (
	"testing"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
)

// WishChannels makes the port ask for these channels with a driver, until the test ends.
func WishChannels(t *testing.T, driver string, wish ethtool.Channels) {
	was := wishChannels
	t.Cleanup(func() { wishChannels = was })
	wishChannels = func(of string, now ethtool.Channels) *ethtool.Channels {
		if of == driver && now != wish {
			return &wish
		}
		return nil
	}
}

// Forgetful makes the port treat a driver as one that loses XDP programs, until the test ends.
func Forgetful(t *testing.T, driver string) {
	was := forgetful
	t.Cleanup(func() { forgetful = was })
	forgetful = driver
}
