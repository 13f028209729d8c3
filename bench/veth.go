package main

import (
	"context"
	"os/exec"
	"strconv"
	"time"
)

// vethLength is testpmd's default.
const vethLength = 64

const (
	oursName   = "netmap"
	pmdName    = "dpdk af_xdp"
	packetName = "af_packet"
)

func vethTx() comparison {
	send := func(argv func(*lab, string) []string, change func(*lab, *exec.Cmd)) func(context.Context, *lab, time.Duration) ([]float64, error) {
		return func(ctx context.Context, lab *lab, length time.Duration) ([]float64, error) {
			w, err := newWire()
			if err != nil {
				return nil, err
			}
			defer w.close()
			p, err := w.left.start(argv(lab, w.left.iface), func(c *exec.Cmd) { change(lab, c) })
			if err != nil {
				return nil, err
			}
			defer p.stop()
			pps, err := growth(ctx, p, w.right.received, length)
			return []float64{mega(pps)}, err
		}
	}
	return comparison{
		name: "veth-tx", title: "Sending through AF_XDP, veth, one queue",
		text: `One process sends frames of 64 bytes into a veth pair as fast as it can, and the kernel counts them at the other end, where
nobody wants them. veth has no zero-copy: the kernel copies every frame. DPDK is testpmd with its af_xdp driver; AF_PACKET
sends 64 frames a sendmmsg, past the queueing discipline.`,
		metrics: []metric{{"sent", "Mpps", 3}}, plots: []int{0}, reference: pmdName,
		contenders: []contender{
			{name: oursName, ours: true, needs: []need{root}, run: send(nicSender, unchanged)},
			{name: pmdName, needs: []need{root, twoCores, dpdk}, run: send(pmdOn("txonly"), (*lab).asDPDK)},
			{name: packetName, needs: []need{root}, run: send(packetSender, unchanged)},
		},
	}
}

func vethRx() comparison {
	return comparison{
		name: "veth-rx", title: "Receiving through AF_XDP, veth, one queue",
		text: `The same three receive. The sender is the same for all: ours, in AF_XDP, without pause. The kernel delivers on the
sender's core, so that a receiver that has to be woken slows its sender down. testpmd never sleeps; ours sleeps in poll, at once
or after having looked for 50 µs. Offered is what the kernel took from the sender, lost the share of it that the receiver never
saw.`,
		metrics: []metric{{"received", "Mpps", 3}, {"offered", "Mpps", 3}, {"lost", "%", 1}}, plots: []int{0}, reference: pmdName,
		contenders: []contender{
			{name: oursName, ours: true, needs: []need{root}, run: receiveOn(nicReceiver(0), unchanged, readyLine, helperReceived)},
			{name: oursName + ", spin 50 us", ours: true, needs: []need{root}, run: receiveOn(nicReceiver(50*time.Microsecond), unchanged, readyLine, helperReceived)},
			{name: pmdName, needs: []need{root, twoCores, dpdk}, run: receiveOn(pmdOn("rxonly"), (*lab).asDPDK, "RX-packets:", pmdReceived)},
			{name: packetName, needs: []need{root}, run: receiveOn(packetReceiver, unchanged, readyLine, helperReceived)},
		},
	}
}

// receiveOn measures a receiver, which is ready when it writes so.
func receiveOn(argv func(*lab, string) []string, change func(*lab, *exec.Cmd), ready string, read total) func(context.Context, *lab, time.Duration) ([]float64, error) {
	return func(ctx context.Context, lab *lab, length time.Duration) ([]float64, error) {
		w, err := newWire()
		if err != nil {
			return nil, err
		}
		defer w.close()
		receiver, err := w.right.start(argv(lab, w.right.iface), func(c *exec.Cmd) { change(lab, c) })
		if err != nil {
			return nil, err
		}
		defer receiver.stop()
		if _, err := receiver.await(ctx, ready); err != nil {
			return nil, err
		}
		sender, err := w.left.start(nicSender(lab, w.left.iface))
		if err != nil {
			return nil, err
		}
		defer sender.stop()
		got, offered, err := rates(ctx, receiver, read, length, w.left.offered)
		return []float64{mega(got), mega(offered), max(0, 100*(1-got/offered))}, err
	}
}

// Who sends and receives on an interface.
func nicSender(l *lab, iface string) []string {
	return l.helper("send", "", "netmap:"+iface, strconv.Itoa(vethLength), "512")
}

func nicReceiver(spin time.Duration) func(*lab, string) []string {
	return func(l *lab, iface string) []string { return l.helper("receive", "", "netmap:"+iface, spin.String()) }
}

func packetSender(l *lab, iface string) []string {
	return l.helper("packet-send", iface, strconv.Itoa(vethLength))
}

func packetReceiver(l *lab, iface string) []string { return l.helper("packet-receive", iface) }

func pmdOn(mode string) func(*lab, string) []string {
	return func(_ *lab, iface string) []string {
		return pmd([]string{"-l", "0,1"}, "net_af_xdp0,iface="+iface, mode)
	}
}

func unchanged(*lab, *exec.Cmd) {}
