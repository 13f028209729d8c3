package rows

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
	"github.com/seed-48afdc40/netmap/bench/internal/helper"
	"github.com/seed-48afdc40/netmap/bench/internal/lab"
)

// vethLength is testpmd's default.
const vethLength = 64

// busyPoll is the value that the kernel's documentation of AF_XDP suggests.
const busyPoll = 200 * time.Microsecond

// pollableVeth fails unless the kernel knows which receive loop belongs to a veth queue.
func pollableVeth() error {
	var u unix.Utsname
	var major, minor int
	if err := unix.Uname(&u); err != nil {
		return err
	}
	fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	if major > 6 || major == 6 && minor >= 13 {
		return errors.New("needs Linux 6.12 or before: since 6.13 the driver must tell which " +
			"receive loop is a queue's, and veth does not")
	}
	return nil
}

const (
	oursName   = "netmap"
	daemonName = "netmap serve"
	pmdName    = "dpdk af_xdp"
	packetName = "af_packet"
	bareName   = "af_xdp alone"
)

// party starts a program on an interface, with everything that the program needs. After the
// program's end, the caller calls stop.
type party func(ctx context.Context, l *lab.Lab, at *lab.Site) (p *lab.Process, stop func(),
	err error)

// alone returns a party of a single program.
func alone(argv func(*lab.Lab, string) []string, change ...func(*lab.Lab, *exec.Cmd)) party {
	return func(_ context.Context, l *lab.Lab, at *lab.Site) (*lab.Process, func(), error) {
		p, err := at.Start(argv(l, at.Iface), func(c *exec.Cmd) {
			for _, f := range change {
				f(l, c)
			}
		})
		return p, func() {}, err
	}
}

// throughDaemon returns a party of a helper and a "netmap serve" with these flags. Argv returns the
// helper's command line for a node and a port.
func throughDaemon(argv func(l *lab.Lab, node, port string) []string, flags ...string) party {
	return func(ctx context.Context, l *lab.Lab, at *lab.Site) (*lab.Process, func(), error) {
		d, err := l.Serve(ctx, flags...)
		if err != nil {
			return nil, nil, err
		}
		// the daemon finds the interface in its client's namespace
		p, err := at.Start(argv(l, d.Node, "netmap:"+at.Iface))
		if err != nil {
			d.Stop()
		}
		return p, d.Stop, err
	}
}

// sendFrom measures a sender by the kernel's count at the other end.
func sendFrom(sender party) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		w, err := lab.NewWire()
		if err != nil {
			return nil, err
		}
		defer w.Close()
		p, stop, err := sender(ctx, l, w.Left)
		if err != nil {
			return nil, err
		}
		defer stop()
		defer p.Stop()
		pps, err := lab.Growth(ctx, p, w.Right.Received, length)
		return []float64{lab.Mega(pps)}, err
	}
}

const vethTxText = `One process sends frames of 64 bytes into a veth pair as fast as it can. The
kernel counts them at the other end, and drops them there. veth has no zero-copy: the kernel copies
every frame. DPDK is testpmd with its af_xdp driver. AF_PACKET sends 64 frames per sendmmsg, past
the queueing discipline. "netmap serve" is the same sender as a client of the daemon. The floor is
sendto on an AF_XDP socket like ours, with frames that are written once, and no framework.`

func vethTx() contest.Comparison {
	return contest.Comparison{
		Name: "veth-tx", Title: "Sending through AF_XDP, veth, one queue",
		Text:    vethTxText,
		Metrics: []contest.Metric{{Name: "sent", Unit: "Mpps", Digits: 3}}, Plots: []int{0},
		Peer: pmdName, Floor: bareName,
		Contenders: []contest.Contender{
			{Name: oursName, Ours: true, Needs: []lab.Need{lab.Root}, Run: sendFrom(alone(nicSender))},
			{Name: daemonName, Ours: true, Needs: []lab.Need{lab.Root},
				Run: sendFrom(throughDaemon(nodeSender))},
			{Name: pmdName, Needs: []lab.Need{lab.Root, lab.TwoCores, dpdk},
				Run: sendFrom(alone(pmdOn("txonly"), asDPDK))},
			{Name: packetName, Needs: []lab.Need{lab.Root}, Run: sendFrom(alone(packetSender))},
			{Name: bareName, Needs: []lab.Need{lab.Root}, Run: sendFrom(alone(bareSender))},
		},
	}
}

const vethRxText = `The same three receive. All have the same sender: ours, in AF_XDP, without
pause. The kernel delivers on the sender's core, so that a receiver that has to be woken slows its
sender down. testpmd never sleeps. Ours looks for 20 µs while frames keep coming, or always for 50
µs, and then sleeps in poll. With "busy polling" the receiver's own system calls run the driver's
receive loop. "netmap serve" is ours as a client of the daemon, which waits as it does by default.
"offered" is what the kernel took from the sender; "lost" is the share of it that the receiver never
saw. The floor is a loop over an AF_XDP socket like ours, which reads every frame and never sleeps.`

func vethRx() contest.Comparison {
	return contest.Comparison{
		Name: "veth-rx", Title: "Receiving through AF_XDP, veth, one queue",
		Text: vethRxText,
		Metrics: []contest.Metric{{Name: "received", Unit: "Mpps", Digits: 3},
			{Name: "offered", Unit: "Mpps", Digits: 3}, {Name: "lost", Unit: "%", Digits: 1, Less: true}},
		Plots: []int{0}, Peer: pmdName, Floor: bareName,
		Contenders: []contest.Contender{
			{Name: oursName, Ours: true, Needs: []lab.Need{lab.Root},
				Run: receiveOn(alone(nicReceiver(0, 0)), helper.ReadyLine, helper.Received)},
			{Name: oursName + ", spin 50 us", Ours: true, Needs: []lab.Need{lab.Root},
				Run: receiveOn(alone(nicReceiver(50*time.Microsecond, 0)), helper.ReadyLine, helper.Received)},
			{Name: oursName + ", busy polling", Ours: true, Needs: []lab.Need{lab.Root, pollableVeth},
				Run: receiveOn(alone(nicReceiver(50*time.Microsecond, busyPoll)), helper.ReadyLine,
					helper.Received)},
			{Name: daemonName, Ours: true, Needs: []lab.Need{lab.Root},
				Run: receiveOn(throughDaemon(nodeReceiver), helper.ReadyLine, helper.Received)},
			{Name: daemonName + ", busy polling", Ours: true, Needs: []lab.Need{lab.Root, pollableVeth},
				Run: receiveOn(throughDaemon(nodeReceiver, "--busy-poll", busyPoll.String()), helper.ReadyLine,
					helper.Received)},
			{Name: pmdName, Needs: []lab.Need{lab.Root, lab.TwoCores, dpdk},
				Run: receiveOn(alone(pmdOn("rxonly"), asDPDK), "RX-packets:", pmdReceived)},
			{Name: packetName, Needs: []lab.Need{lab.Root},
				Run: receiveOn(alone(packetReceiver), helper.ReadyLine, helper.Received)},
			{Name: bareName, Needs: []lab.Need{lab.Root},
				Run: receiveOn(alone(bareReceiver), helper.ReadyLine, helper.Received)},
		},
	}
}

// receiveOn measures a receiver, which prints the text ready when it can receive.
func receiveOn(receiver party, ready string, read lab.Total) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		w, err := lab.NewWire()
		if err != nil {
			return nil, err
		}
		defer w.Close()
		p, stop, err := receiver(ctx, l, w.Right)
		if err != nil {
			return nil, err
		}
		defer stop()
		defer p.Stop()
		if _, err := p.Await(ctx, ready); err != nil {
			return nil, err
		}
		sender, err := w.Left.Start(nicSender(l, w.Left.Iface))
		if err != nil {
			return nil, err
		}
		defer sender.Stop()
		got, offered, err := lab.Rates(ctx, p, read, length, w.Left.Offered)
		return []float64{lab.Mega(got), lab.Mega(offered), max(0, 100*(1-got/offered))}, err
	}
}

// Command lines of senders and receivers on an interface.
func nicSender(l *lab.Lab, iface string) []string {
	return l.Helper("send", "", "netmap:"+iface, strconv.Itoa(vethLength), "512")
}

func nodeSender(l *lab.Lab, node, port string) []string {
	return l.Helper("send", node, port, strconv.Itoa(vethLength), "512")
}

func nodeReceiver(l *lab.Lab, node, port string) []string {
	return l.Helper("receive", node, port, "0s", "0s")
}

func nicReceiver(spin, busyPoll time.Duration) func(*lab.Lab, string) []string {
	return func(l *lab.Lab, iface string) []string {
		return l.Helper("receive", "", "netmap:"+iface, spin.String(), busyPoll.String())
	}
}

func packetSender(l *lab.Lab, iface string) []string {
	return l.Helper("packet-send", iface, strconv.Itoa(vethLength))
}

func packetReceiver(l *lab.Lab, iface string) []string { return l.Helper("packet-receive", iface) }

func pmdOn(mode string) func(*lab.Lab, string) []string {
	return func(_ *lab.Lab, iface string) []string {
		return pmd([]string{"-l", "0,1"}, "net_af_xdp0,iface="+iface, mode)
	}
}

func bareSender(l *lab.Lab, iface string) []string {
	return l.Helper("xdp-send", iface, strconv.Itoa(vethLength))
}

func bareReceiver(l *lab.Lab, iface string) []string { return l.Helper("xdp-receive", iface) }
