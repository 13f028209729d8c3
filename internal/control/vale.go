//go:build linux

package control

import (
	"github.com/seed-48afdc40/netmap/abi"
)

// valeAttach attaches an interface of the client's network namespace to a switch.
func (k *call) valeAttach() error {
	body := abi.View[abi.ValeAttach](k.body)
	index, err := k.client.engine.Attach(k.process.InNetNS, k.name, body.Reg)
	body.PortIndex = uint32(index)
	k.client.log("attach", k.name, err)
	return err
}

func (k *call) valeDetach() error {
	index, err := k.client.engine.Detach(k.process.InNetNS, k.name)
	abi.View[abi.ValeDetach](k.body).PortIndex = uint32(index)
	k.client.log("detach", k.name, err)
	return err
}

// valeNewIf makes a persistent port in the client's network namespace.
func (k *call) valeNewIf() error {
	body := abi.View[abi.ValeNewIf](k.body)
	made, err := k.client.engine.NewIf(k.process.InNetNS, k.name, k.client.policy.User, *body)
	if err == nil {
		*body = made
	}
	k.client.log("make persistent port", k.name, err)
	return err
}

func (k *call) valeDelIf() error {
	err := k.client.engine.DelIf(k.process.InNetNS, k.name)
	k.client.log("delete persistent port", k.name, err)
	return err
}

func (k *call) startPolling() error {
	body := abi.View[abi.ValePolling](k.body)
	err := k.client.engine.StartPolling(
		k.process.InNetNS, k.name, body.Mode, body.FirstCPU, body.NumPollingCPUs)
	k.client.log("start polling", k.name, err)
	return err
}

func (k *call) stopPolling() error {
	err := k.client.engine.StopPolling(k.process.InNetNS, k.name)
	k.client.log("stop polling", k.name, err)
	return err
}
