package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"time"
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

func processPipe() comparison {
	c := comparison{
		name: "process-pipe", title: "Two processes over a pipe",
		text: processText + ` DPDK's memif is shared memory between two testpmd, each busy on a core; it copies frames where a pipe
swaps buffers.`,
		metrics: []metric{{"received", "Mpps", 2}}, plots: []int{0}, reference: memifName,
	}
	c.contenders = overSpins("p{1", "p}1", []goal{{atLeast: 25}, {atLeast: 1.8, times: true}})
	c.contenders = append(c.contenders,
		contender{name: memifName, needs: []need{root, twoCores, dpdk}, run: memif},
		contender{name: "pkt-gen over pipe", ours: true, needs: []need{root, pktGen}, run: pktGenBetween("netmap:p{1", "netmap:p}1")})
	return c
}

func processVALE() comparison {
	c := comparison{
		name: "process-vale", title: "Two processes over a VALE switch", text: processText,
		metrics: []metric{{"received", "Mpps", 2}}, plots: []int{0},
	}
	c.contenders = overSpins("vale0:tx", "vale0:rx", []goal{{atLeast: 12}})
	c.contenders = append(c.contenders,
		contender{name: "pkt-gen over VALE", ours: true, needs: []need{root, pktGen}, run: pktGenBetween("vale0:tx", "vale0:rx")})
	return c
}

// overSpins measures the ways a daemon can wait. The goals are those of the default.
func overSpins(tx, rx string, goals []goal) (all []contender) {
	for _, spin := range []time.Duration{defaultSpin, 0, 50 * time.Microsecond} {
		k := contender{name: spinName(spin), ours: true, needs: []need{root}, run: between(spin, tx, rx)}
		if spin == defaultSpin {
			k.goals = goals
		}
		all = append(all, k)
	}
	return all
}

func spinName(spin time.Duration) string {
	return fmt.Sprintf("netmap serve, spin %d us", spin.Microseconds())
}

// between has one helper send to another over a daemon.
func between(spin time.Duration, tx, rx string) func(context.Context, *lab, time.Duration) ([]float64, error) {
	return func(ctx context.Context, lab *lab, length time.Duration) ([]float64, error) {
		d, err := lab.serve(ctx, spin)
		if err != nil {
			return nil, err
		}
		defer d.stop()
		receiver, err := start(lab.helper("receive", d.node, rx, "0s"))
		if err != nil {
			return nil, err
		}
		defer receiver.stop()
		if _, err := receiver.await(ctx, readyLine); err != nil {
			return nil, err
		}
		sender, err := start(lab.helper("send", d.node, tx, strconv.Itoa(processLength), strconv.Itoa(processBatch)))
		if err != nil {
			return nil, err
		}
		defer sender.stop()
		pps, _, err := rates(ctx, receiver, helperReceived, length, unmarked)
		return []float64{mega(pps)}, err
	}
}

// memif has one testpmd send to another, each with a core of its own.
func memif(ctx context.Context, lab *lab, length time.Duration) ([]float64, error) {
	socket := lab.path("memif")
	side := func(core int, role, mode string, extra ...string) (*process, error) {
		cores := []string{"--lcores", fmt.Sprintf("0@%d,1@%d", core, core)}
		device := fmt.Sprintf("net_memif0,role=%s,socket=%s,socket-abstract=no", role, socket)
		return start(pmd(cores, device, mode, extra...), func(c *exec.Cmd) { lab.asDPDK(c) })
	}
	server, err := side(0, "server", "rxonly")
	if err != nil {
		return nil, err
	}
	defer server.stop()
	if _, err := server.await(ctx, "RX-packets:"); err != nil { // it listens by now
		return nil, err
	}
	client, err := side(1, "client", "txonly", fmt.Sprintf("--txpkts=%d", processLength))
	if err != nil {
		return nil, err
	}
	defer client.stop()
	pps, _, err := rates(ctx, server, pmdReceived, length, unmarked)
	return []float64{mega(pps)}, err
}
