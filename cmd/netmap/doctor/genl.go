package doctor

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
)

// unsupported reports whether an error only means that the driver does not implement the request.
func unsupported(err error) bool { return errors.Is(err, unix.EOPNOTSUPP) }

// speedUnknown is the kernel's speed of an interface whose driver does not tell it (SPEED_UNKNOWN).
const speedUnknown = 0xffffffff

func (n *nicInfo) askSpeed() error {
	a, err := ethtool.Ethtool(n.Index, unix.ETHTOOL_MSG_LINKMODES_GET)
	if err != nil {
		return err
	}
	if speed := a.Number(unix.ETHTOOL_A_LINKMODES_SPEED); uint32(speed) != speedUnknown {
		n.Speed = speed
	}
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

func (n *nicInfo) askFeatures() (err error) {
	n.features, err = ethtool.AskFeatures(n.Index)
	return err
}
