//go:build linux

package control

import (
	"encoding/binary"
	"errors"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/session"
)

// registerWithOptions binds the client. It handles the options that the engine needs for that.
func (k *call) registerWithOptions() error {
	if err := k.client.isFree(k.name); err != nil {
		return err
	}
	var o engine.Options
	extmem, offsets := k.option(abi.OptExtmem), k.option(abi.OptOffsets)
	if offsets != nil {
		o.Offsets = offsets.offsets()
	}
	if extmem != nil {
		var err error
		if o.Extmem, err = extmem.extmem(k.process); err != nil {
			k.client.log("open", k.name, err)
			return err
		}
	}
	err := k.client.register(k.process, k.name, abi.View[abi.Register](k.body), o)
	var blamed *session.OptionError
	errors.As(err, &blamed)
	for _, o := range []*option{extmem, offsets} {
		switch {
		case o == nil:
		case blamed != nil && blamed.Option == o.Type:
			o.status = fault.Errno(err)
		default:
			o.status = 0
		}
	}
	if err == nil && offsets != nil {
		binary.LittleEndian.PutUint64(offsets.body, uint64(k.client.binding.Load().MaxOffset()))
	}
	return err
}

// offsets parses an OFFSETS option. nro_tx_align is ignored.
func (o *option) offsets() *session.Offsets {
	word := binary.LittleEndian.Uint64
	return &session.Offsets{
		Max: word(o.body), Initial: word(o.body[8:]), Bits: binary.LittleEndian.Uint32(o.body[16:]),
		MinGap: word(o.body[24:]),
	}
}

// extmem maps the memory of an EXTMEM option.
func (o *option) extmem(p Process) (*engine.Extmem, error) {
	info := *abi.View[abi.PoolsInfo](o.body[8:])
	x, err := p.Extmem(binary.LittleEndian.Uint64(o.body), info.MemSize)
	if err != nil {
		o.status = fault.Errno(err)
		return nil, err
	}
	x.Pools = mem.ConfigOf(info)
	return x, nil
}
