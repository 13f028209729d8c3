package rows

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
	"github.com/seed-48afdc40/netmap/bench/internal/helper"
	"github.com/seed-48afdc40/netmap/bench/internal/lab"
)

// The frames that two processes send each other.
const (
	processLength = 60
	processBatch  = 512
)

// The names of contenders between processes.
const (
	wakeName     = "wake-ups alone, one core"
	wakeFreeName = "wake-ups alone, where the scheduler puts them"
	memifName    = "dpdk memif, each frame made and read"
	memifRawName = "dpdk memif, as pkt-gen"
)

const processText = `Sender and receiver are processes. The sender writes every frame of 60 bytes
anew, and the receiver reads each. Batches are of 512, and both sides poll for every batch. "spin"
is how long netmap serve looks for the next request before it sleeps. The floor is two processes
that wake each other by a futex, once in each direction for every 512 frames, but pass no frames: on
one core, the better of two, and on the cores that the scheduler chooses. pkt-gen sends frames that
it has prepared, and reads none.`

const memifText = `
DPDK's memif is shared memory between two testpmd, each of which keeps a core busy. It copies
frames. "each frame made and read" does our work: one makes frames (flowgen), the other reads each
header (icmpecho). "as pkt-gen" sends prepared frames (txonly), and reads none (rxonly). Rings and
bursts are those at which memif is fastest. With the same settings it has done 5 and 27 Mpps within
minutes; the cause is not known.`

var processMetrics = []contest.Metric{{Name: "received", Unit: "Mpps", Digits: 2}}

func processPipe() contest.Comparison {
	return contest.Comparison{
		Name: "process-pipe", Title: "Two processes over a pipe", Text: processText + memifText,
		Metrics: processMetrics, Plots: []int{0}, Floor: wakeName,
		Contenders: overProcesses("pipe", "p{1", "p}1", 1.5),
	}
}

func processVALE() contest.Comparison {
	return contest.Comparison{
		Name: "process-vale", Title: "Two processes over a VALE switch",
		Text:    "The same over a VALE switch, which copies frames, too.",
		Metrics: processMetrics, Plots: []int{0}, Floor: wakeName,
		Contenders: overProcesses("VALE", "vale0:tx", "vale0:rx", 0.7),
	}
}

// overProcesses returns a contender for each way to send between two processes over a port of that
// kind. Target is the lower bound for the ratio of pkt-gen's rate to memif's.
func overProcesses(kind, tx, rx string, target float64) []contest.Contender {
	var all []contest.Contender
	for _, spin := range []spin{byDefault, 0, 20} {
		all = append(all, contest.Contender{Name: spin.String(), Ours: true, Peer: memifName,
			Needs: []lab.Need{lab.Root}, Run: between(spin, tx, rx)})
	}
	busy := []lab.Need{lab.Root, lab.TwoCores, dpdk}
	for _, way := range pktGenWays {
		all = append(all, contest.Contender{
			Name: "pkt-gen over " + kind + way.name, Ours: true, Peer: memifRawName,
			Needs: []lab.Need{lab.Root, pktGen},
			Goals: []contest.Goal{{Of: memifRawName, AtLeast: target}}, Run: pktGenBetween(tx, rx, way),
		})
	}
	return append(all,
		// testpmd's length includes the checksum
		contest.Contender{Name: memifName, Needs: busy,
			Run: memif("icmpecho", "flowgen", processLength+4)},
		contest.Contender{Name: memifRawName, Needs: busy, Run: memif("rxonly", "txonly", processLength)},
		contest.Contender{Name: wakeName, Run: bestCore(wakeUps, false)},
		contest.Contender{Name: wakeFreeName, Run: wakeUps(anyCore)})
}

// spin is the time in microseconds that a daemon looks for the next request before it sleeps.
type spin int

// byDefault leaves the time to the daemon's default.
const byDefault spin = -1

func (s spin) String() string {
	if s == byDefault {
		return daemonName
	}
	return fmt.Sprintf("%s, spin %d us", daemonName, int(s))
}

// flags returns the flags of "netmap serve" for this time.
func (s spin) flags() []string {
	if s == byDefault {
		return nil
	}
	return []string{"--spin", fmt.Sprintf("%dus", int(s))}
}

// between runs two helpers. One sends to the other over a daemon.
func between(spin spin, tx, rx string) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		d, err := l.Serve(ctx, spin.flags()...)
		if err != nil {
			return nil, err
		}
		defer d.Stop()
		receiver, err := lab.Start(l.Helper("receive", d.Node, rx, "0s", "0s"))
		if err != nil {
			return nil, err
		}
		defer receiver.Stop()
		if _, err := receiver.Await(ctx, helper.ReadyLine); err != nil {
			return nil, err
		}
		sender, err := lab.Start(l.Helper("send", d.Node, tx, strconv.Itoa(processLength),
			strconv.Itoa(processBatch)))
		if err != nil {
			return nil, err
		}
		defer sender.Stop()
		pps, _, err := lab.Rates(ctx, receiver, helper.Received, length, lab.Unmarked)
		return []float64{lab.Mega(pps)}, err
	}
}

// anyCore lets the scheduler choose a helper's core.
const anyCore = -1

// wakeUps runs two helpers that wake each other, once in each direction for a batch.
func wakeUps(core int) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		receiver, sender, err := startBaton(ctx, l, core, "wake-send")
		if err != nil {
			return nil, err
		}
		defer receiver.Stop()
		defer sender.Stop()
		pps, _, err := lab.Rates(ctx, receiver, helper.Received, length, lab.Unmarked)
		return []float64{lab.Mega(pps)}, err
	}
}

// bestCore measures on the first core and on the last, and returns the better result: either core
// may be busy with other things. Less means that a smaller result is better.
func bestCore(on func(core int) contest.Measurement, less bool) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		best, err := on(0)(ctx, l, length/2)
		if err != nil {
			return nil, err
		}
		other, err := on(runtime.NumCPU()-1)(ctx, l, length/2)
		if err == nil && (other[0] < best[0]) == less {
			best = other
		}
		return best, err
	}
}

// startBaton starts two helpers that share a word. Name and args are the name and the arguments of
// the second helper, the sender.
func startBaton(ctx context.Context, l *lab.Lab, core int, name string, args ...string) (receiver,
	sender *lab.Process, err error) {
	file := l.Path(fmt.Sprintf("baton-%d", instances.Add(1)))
	receiver, err = lab.Start(l.Helper("wake-receive", file, strconv.Itoa(core),
		strconv.Itoa(processBatch)))
	if err != nil {
		return nil, nil, err
	}
	if _, err = receiver.Await(ctx, helper.ReadyLine); err == nil {
		sender, err = lab.Start(l.Helper(name, append([]string{file, strconv.Itoa(core)}, args...)...))
	}
	if err != nil {
		receiver.Stop()
	}
	return receiver, sender, err
}

// memif runs two testpmd, each on a separate core. One sends to the other.
func memif(receive, send string, bytes int) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		socket := l.Path(fmt.Sprintf("memif-%d", instances.Add(1)))
		side := func(core int, role, mode string, extra ...string) (*lab.Process, error) {
			cores := []string{"--lcores", fmt.Sprintf("0@%d,1@%d", core, core)}
			device := fmt.Sprintf("net_memif0,role=%s,socket=%s,socket-abstract=no,%s", role, socket,
				memifRing)
			return lab.Start(pmd(cores, device, mode, append(extra, memifBurst)...),
				func(c *exec.Cmd) { asDPDK(l, c) })
		}
		server, err := side(0, "server", receive)
		if err != nil {
			return nil, err
		}
		defer server.Stop()
		if _, err := server.Await(ctx, "RX-packets:"); err != nil { // it listens by now
			return nil, err
		}
		client, err := side(1, "client", send, fmt.Sprintf("--txpkts=%d", bytes))
		if err != nil {
			return nil, err
		}
		defer client.Stop()
		pps, _, err := lab.Rates(ctx, server, pmdReceived, length, lab.Unmarked)
		return []float64{lab.Mega(pps)}, err
	}
}

// The settings at which memif is fastest, among rings of 2^10 to 2^14 and bursts of 32 to 512. With
// bursts of 256 and more, flowgen stops.
const (
	memifRing  = "rsize=12"
	memifBurst = "--burst=128"
)
