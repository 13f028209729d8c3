//go:build linux

package nic

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolChannels is struct ethtool_channels.
type ethtoolChannels struct {
	cmd                                 uint32
	maxRx, maxTx, maxOther, maxCombined uint32
	rx, tx, other, combined             uint32
}

// channels asks the driver how many queues are in use. EOPNOTSUPP from one that has always the same.
func channels(name string) (channelCount, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return channelCount{}, err
	}
	defer unix.Close(fd)
	c := ethtoolChannels{cmd: unix.ETHTOOL_GCHANNELS}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return channelCount{}, err
	}
	r := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&c)}
	copy(r.name[:], req.Name())
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&r))); e != 0 {
		return channelCount{}, e
	}
	return channelCount{tx: int(c.tx + c.combined), rx: int(c.rx + c.combined)}, nil
}
