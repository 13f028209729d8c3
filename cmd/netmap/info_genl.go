package main

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
)

// unsupported says whether an error means no more than that a driver has no answer.
func unsupported(err error) bool { return errors.Is(err, unix.EOPNOTSUPP) }

func (n *nicInfo) askDriver() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, n.Name)
	if err != nil {
		return err
	}
	n.Driver = unix.ByteSliceToString(info.Driver[:])
	return nil
}

func (n *nicInfo) askSpeed() error {
	a, err := ethtool.Ethtool(n.Index, unix.ETHTOOL_MSG_LINKMODES_GET)
	if err != nil {
		return err
	}
	if speed := a.Number(unix.ETHTOOL_A_LINKMODES_SPEED); speed != unix.SPEED_UNKNOWN&0xffffffff {
		n.Speed = speed
	}
	return nil
}

func (n *nicInfo) askChannels() error {
	c, err := ethtool.AskChannels(n.Index)
	if err != nil {
		return err
	}
	n.Channel = &channels{Rx: c.Rx, MaxRx: c.MaxRx, Tx: c.Tx, MaxTx: c.MaxTx, Combined: c.Combined, MaxCombined: c.MaxCombined}
	n.RxQueue, n.TxQueue = n.Channel.Rx+n.Channel.Combined, n.Channel.Tx+n.Channel.Combined
	return nil
}

func (n *nicInfo) askSlots() error {
	a, err := ethtool.Ethtool(n.Index, unix.ETHTOOL_MSG_RINGS_GET)
	if err != nil {
		return err
	}
	s := slots{
		Rx: a.Number(unix.ETHTOOL_A_RINGS_RX), MaxRx: a.Number(unix.ETHTOOL_A_RINGS_RX_MAX),
		Tx: a.Number(unix.ETHTOOL_A_RINGS_TX), MaxTx: a.Number(unix.ETHTOOL_A_RINGS_TX_MAX),
	}
	if s != (slots{}) {
		n.Slots = &s
	}
	return nil
}

// askFeatures finds the offloads that are on, and which of them stay on whatever one does.
func (n *nicInfo) askFeatures() error {
	a, err := ethtool.Ethtool(n.Index, unix.ETHTOOL_MSG_FEATURES_GET)
	if err != nil {
		return err
	}
	active, err := bitNames(a, unix.ETHTOOL_A_FEATURES_ACTIVE)
	if err != nil {
		return err
	}
	changeable, err := bitNames(a, unix.ETHTOOL_A_FEATURES_HW)
	if err != nil {
		return err
	}
	n.features = map[string]bool{}
	for name := range active {
		n.features[name] = changeable[name]
	}
	return nil
}

// bitNames are the names of the bits that are set in a bit set of ethtool's: those in the list if the set has no mask,
// otherwise those that are marked.
func bitNames(a ethtool.Attrs, kind uint16) (map[string]bool, error) {
	set, err := a.Nested(kind)
	if err != nil {
		return nil, err
	}
	bits, err := set.Nested(unix.ETHTOOL_A_BITSET_BITS)
	if err != nil {
		return nil, err
	}
	_, noMask := set[unix.ETHTOOL_A_BITSET_NOMASK]
	names := map[string]bool{}
	for _, b := range bits[unix.ETHTOOL_A_BITSET_BITS_BIT] {
		bit, err := ethtool.Parse(b)
		if err != nil {
			return nil, err
		}
		if _, marked := bit[unix.ETHTOOL_A_BITSET_BIT_VALUE]; noMask || marked {
			names[bit.Text(unix.ETHTOOL_A_BITSET_BIT_NAME)] = true
		}
	}
	return names, nil
}
