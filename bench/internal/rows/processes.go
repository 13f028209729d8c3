package rows

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"time"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
	"github.com/seed-48afdc40/netmap/bench/internal/helper"
	"github.com/seed-48afdc40/netmap/bench/internal/lab"
)

// What two processes send each other.
const (
	processLength = 60
	processBatch  = 512
)

const memifName = "dpdk memif"

const processText = `Sender and receiver are processes of their own. The sender writes every frame of 60 bytes anew, the receiver looks into
each; batches are of 512, and every batch is a poll on both sides. "spin" is how long netmap serve looks for the next request
before it sleeps.`

func processPipe() contest.Comparison {
	c := contest.Comparison{
		Name: "process-pipe", Title: "Two processes over a pipe",
		Text: processText + ` DPDK's memif is shared memory between two testpmd, each busy on a core; it copies frames where a pipe
swaps buffers.`,
		Metrics: []contest.Metric{{Name: "received", Unit: "Mpps", Digits: 2}}, Plots: []int{0}, Peer: memifName,
	}
	c.Contenders = overSpins("p{1", "p}1")
	c.Contenders = append(c.Contenders,
		contest.Contender{Name: memifName, Needs: []lab.Need{lab.Root, lab.TwoCores, dpdk}, Run: memif},
		contest.Contender{Name: "pkt-gen over pipe", Ours: true, Needs: []lab.Need{lab.Root, pktGen}, Goals: []contest.Goal{{Of: memifName, AtLeast: 1.5}}, Run: pktGenBetween("netmap:p{1", "netmap:p}1")})
	return c
}

func processVALE() contest.Comparison {
	c := contest.Comparison{
		Name: "process-vale", Title: "Two processes over a VALE switch", Text: processText,
		Metrics: []contest.Metric{{Name: "received", Unit: "Mpps", Digits: 2}}, Plots: []int{0},
	}
	c.Contenders = overSpins("vale0:tx", "vale0:rx")
	c.Contenders = append(c.Contenders,
		contest.Contender{Name: "pkt-gen over VALE", Ours: true, Needs: []lab.Need{lab.Root, pktGen}, Run: pktGenBetween("vale0:tx", "vale0:rx")})
	return c
}

// overSpins measures the ways a daemon can wait.
func overSpins(tx, rx string) (all []contest.Contender) {
	for _, spin := range []time.Duration{lab.DefaultSpin, 0, 50 * time.Microsecond} {
		k := contest.Contender{Name: spinName(spin), Ours: true, Needs: []lab.Need{lab.Root}, Run: between(spin, tx, rx)}
		all = append(all, k)
	}
	return all
}

func spinName(spin time.Duration) string {
	return fmt.Sprintf("netmap serve, spin %d us", spin.Microseconds())
}

// between has one helper send to another over a daemon.
func between(spin time.Duration, tx, rx string) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		d, err := l.Serve(ctx, spin)
		if err != nil {
			return nil, err
		}
		defer d.Stop()
		receiver, err := lab.Start(l.Helper("receive", d.Node, rx, "0s"))
		if err != nil {
			return nil, err
		}
		defer receiver.Stop()
		if _, err := receiver.Await(ctx, helper.ReadyLine); err != nil {
			return nil, err
		}
		sender, err := lab.Start(l.Helper("send", d.Node, tx, strconv.Itoa(processLength), strconv.Itoa(processBatch)))
		if err != nil {
			return nil, err
		}
		defer sender.Stop()
		pps, _, err := lab.Rates(ctx, receiver, helper.Received, length, lab.Unmarked)
		return []float64{lab.Mega(pps)}, err
	}
}

// memif has one testpmd send to another, each with a core of its own.
func memif(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
	socket := l.Path("memif")
	side := func(core int, role, mode string, extra ...string) (*lab.Process, error) {
		cores := []string{"--lcores", fmt.Sprintf("0@%d,1@%d", core, core)}
		device := fmt.Sprintf("net_memif0,role=%s,socket=%s,socket-abstract=no", role, socket)
		return lab.Start(pmd(cores, device, mode, extra...), func(c *exec.Cmd) { asDPDK(l, c) })
	}
	server, err := side(0, "server", "rxonly")
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	if _, err := server.Await(ctx, "RX-packets:"); err != nil { // it listens by now
		return nil, err
	}
	client, err := side(1, "client", "txonly", fmt.Sprintf("--txpkts=%d", processLength))
	if err != nil {
		return nil, err
	}
	defer client.Stop()
	pps, _, err := lab.Rates(ctx, server, pmdReceived, length, lab.Unmarked)
	return []float64{lab.Mega(pps)}, err
}
