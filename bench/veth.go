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
	daemonName = "netmap serve"
	pmdName    = "dpdk af_xdp"
	packetName = "af_packet"
)

// measurement is what a contender runs.
type measurement = func(ctx context.Context, lab *lab, length time.Duration) ([]float64, error)

// party starts a program on an interface, and what it needs besides. Stop ends the latter, when the program has ended.
type party func(ctx context.Context, lab *lab, at *site) (p *process, stop func(), err error)

// alone is a program that needs nothing besides.
func alone(argv func(*lab, string) []string, change ...func(*lab, *exec.Cmd)) party {
	return func(_ context.Context, lab *lab, at *site) (*process, func(), error) {
		p, err := at.start(argv(lab, at.iface), func(c *exec.Cmd) {
			for _, f := range change {
				f(lab, c)
			}
		})
		return p, func() {}, err
	}
}

// throughDaemon is a helper that goes through "netmap serve", as argv says for a node and a port.
func throughDaemon(argv func(l *lab, node, port string) []string) party {
	return func(ctx context.Context, lab *lab, at *site) (*process, func(), error) {
		d, err := lab.serve(ctx, defaultSpin)
		if err != nil {
			return nil, nil, err
		}
		p, err := at.start(argv(lab, d.node, "netmap:"+at.iface)) // the daemon looks where its client is
		if err != nil {
			d.stop()
		}
		return p, d.stop, err
	}
}

// sendFrom measures a sender by what the kernel counts at the other end.
func sendFrom(sender party) measurement {
	return func(ctx context.Context, lab *lab, length time.Duration) ([]float64, error) {
		w, err := newWire()
		if err != nil {
			return nil, err
		}
		defer w.close()
		p, stop, err := sender(ctx, lab, w.left)
		if err != nil {
			return nil, err
		}
		defer stop()
		defer p.stop()
		pps, err := growth(ctx, p, w.right.received, length)
		return []float64{mega(pps)}, err
	}
}

func vethTx() comparison {
	return comparison{
		name: "veth-tx", title: "Sending through AF_XDP, veth, one queue",
		text: `One process sends frames of 64 bytes into a veth pair as fast as it can, and the kernel counts them at the other end, where
nobody wants them. veth has no zero-copy: the kernel copies every frame. DPDK is testpmd with its af_xdp driver; AF_PACKET
sends 64 frames a sendmmsg, past the queueing discipline. "netmap serve" is the same sender as a client of the daemon.`,
		metrics: []metric{{"sent", "Mpps", 3}}, plots: []int{0}, reference: pmdName,
		contenders: []contender{
			{name: oursName, ours: true, needs: []need{root}, run: sendFrom(alone(nicSender))},
			{name: daemonName, ours: true, needs: []need{root}, run: sendFrom(throughDaemon(nodeSender))},
			{name: pmdName, needs: []need{root, twoCores, dpdk}, run: sendFrom(alone(pmdOn("txonly"), (*lab).asDPDK))},
			{name: packetName, needs: []need{root}, run: sendFrom(alone(packetSender))},
		},
	}
}

func vethRx() comparison {
	return comparison{
		name: "veth-rx", title: "Receiving through AF_XDP, veth, one queue",
		text: `The same three receive. The sender is the same for all: ours, in AF_XDP, without pause. The kernel delivers on the
sender's core, so that a receiver that has to be woken slows its sender down. testpmd never sleeps; ours sleeps in poll, at once
or after having looked for 50 µs. "netmap serve" is ours as a client of the daemon, which waits as it does by default. Offered
is what the kernel took from the sender, lost the share of it that the receiver never saw.`,
		metrics: []metric{{"received", "Mpps", 3}, {"offered", "Mpps", 3}, {"lost", "%", 1}}, plots: []int{0}, reference: pmdName,
		contenders: []contender{
			{name: oursName, ours: true, needs: []need{root}, run: receiveOn(alone(nicReceiver(0)), readyLine, helperReceived)},
			{name: oursName + ", spin 50 us", ours: true, needs: []need{root}, run: receiveOn(alone(nicReceiver(50*time.Microsecond)), readyLine, helperReceived)},
			{name: daemonName, ours: true, needs: []need{root}, run: receiveOn(throughDaemon(nodeReceiver), readyLine, helperReceived)},
			{name: pmdName, needs: []need{root, twoCores, dpdk}, run: receiveOn(alone(pmdOn("rxonly"), (*lab).asDPDK), "RX-packets:", pmdReceived)},
			{name: packetName, needs: []need{root}, run: receiveOn(alone(packetReceiver), readyLine, helperReceived)},
		},
	}
}

// receiveOn measures a receiver, which is ready when it writes so.
func receiveOn(receiver party, ready string, read total) measurement {
	return func(ctx context.Context, lab *lab, length time.Duration) ([]float64, error) {
		w, err := newWire()
		if err != nil {
			return nil, err
		}
		defer w.close()
		p, stop, err := receiver(ctx, lab, w.right)
		if err != nil {
			return nil, err
		}
		defer stop()
		defer p.stop()
		if _, err := p.await(ctx, ready); err != nil {
			return nil, err
		}
		sender, err := w.left.start(nicSender(lab, w.left.iface))
		if err != nil {
			return nil, err
		}
		defer sender.stop()
		got, offered, err := rates(ctx, p, read, length, w.left.offered)
		return []float64{mega(got), mega(offered), max(0, 100*(1-got/offered))}, err
	}
}

// Who sends and receives on an interface.
func nicSender(l *lab, iface string) []string {
	return l.helper("send", "", "netmap:"+iface, strconv.Itoa(vethLength), "512")
}

func nodeSender(l *lab, node, port string) []string {
	return l.helper("send", node, port, strconv.Itoa(vethLength), "512")
}

func nodeReceiver(l *lab, node, port string) []string { return l.helper("receive", node, port, "0s") }

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
