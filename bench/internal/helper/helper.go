package helper

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/bench/internal/lab"
	"github.com/seed-48afdc40/netmap/embed"
)

// Run runs a helper until it fails or is stopped.
func Run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("want the name of a helper")
	}
	name, args := args[0], args[1:]
	switch name {
	case "send": // NODE PORT LENGTH BATCH; an empty NODE is a framework in this process
		return withPort(args, 4, embed.Config{},
			func(p *netmap.Port) error { return send(p, number(args[2]), number(args[3])) })
	case "receive": // NODE PORT SPIN BUSYPOLL; a daemon ignores SPIN and BUSYPOLL
		return receiveWaiting(args)
	case "pong": // NODE PORT
		return withPort(args, 2, embed.Config{}, func(p *netmap.Port) error { return pong(p, true) })
	case "ping": // NODE PORT MILLISECONDS
		return withPort(args, 3, embed.Config{},
			func(p *netmap.Port) error { return pingAndPrint(p, milliseconds(args[2])) })
	case "ping-inside": // SPIN MILLISECONDS
		return pingInside(args)
	case "packet-send": // INTERFACE LENGTH
		return packetSend(args)
	case "packet-receive": // INTERFACE
		return packetReceive(args)
	case "wake-send": // FILE CORE
		return withBaton(args, 2, sendersTurn, wakeSend)
	case "wake-receive": // FILE CORE BATCH
		return withBaton(args, 3, receiversTurn,
			func(b *baton) error { return wakeReceive(b, number(args[2])) })
	case "wake-ping": // FILE CORE MILLISECONDS
		return withBaton(args, 3, sendersTurn,
			func(b *baton) error { return wakePing(b, milliseconds(args[2])) })
	case "xdp-send": // INTERFACE LENGTH
		return xdpSend(args)
	case "xdp-receive": // INTERFACE
		return xdpReceive(args)
	case "pinned": // CORE COMMAND...
		return pinned(args)
	case "with-device": // NODE COMMAND...
		return withDevice(args)
	}
	return fmt.Errorf("there is no helper %q", name)
}

// withPort opens the port that the first two arguments name.
func withPort(args []string, want int, c embed.Config, f func(*netmap.Port) error) error {
	if len(args) != want {
		return fmt.Errorf("want %d arguments, not %q", want, args)
	}
	p, err := open(args[0], args[1], c)
	if err != nil {
		return err
	}
	return f(p)
}

func receiveWaiting(args []string) error {
	const want = 4
	if len(args) != want {
		return fmt.Errorf("want %d arguments, not %q", want, args)
	}
	spin, err1 := time.ParseDuration(args[2])
	busy, err2 := time.ParseDuration(args[3])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	return withPort(args, want, embed.Config{Spin: spin, BusyPoll: busy}, receive)
}

func open(node, port string, c embed.Config) (*netmap.Port, error) {
	if node != "" {
		return netmap.OpenDevice(node, port)
	}
	f, err := embed.New(c)
	if err != nil {
		return nil, err
	}
	return f.Open(port)
}

// number parses an argument that this program wrote itself, so it cannot fail.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func milliseconds(s string) time.Duration { return time.Duration(number(s)) * time.Millisecond }

// The lines that helpers write.
const (
	ReadyLine = "ready"
	CountLine = "count "
)

// announce prints the counter at regular intervals.
func announce(counter *atomic.Uint64) {
	fmt.Fprintln(os.Stdout, ReadyLine)
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			fmt.Fprintf(os.Stdout, "%s%d\n", CountLine, counter.Load())
		}
	}()
}

// Received parses a line that announce printed.
func Received(text string) (float64, bool) {
	value, ok := lab.Field(text, CountLine, "")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(value, 10, 64)
	return float64(n), err == nil
}
