package helper

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/latency"
)

const (
	PingLine  = "ping "
	warmPings = 100
	pingLimit = time.Second
)

// pong sends a frame back for every frame that it receives, and returns when that fails.
func pong(p *netmap.Port, tell bool) error {
	f := testFrame(60)
	copy(f, senderMAC)
	copy(f[6:], receiverMAC)
	if tell {
		fmt.Fprintln(os.Stdout, ReadyLine)
	}
	rx, tx := p.Rx()[0], p.Tx()[0]
	for {
		if err := poll(p, netmap.In, -1); err != nil {
			return err
		}
		for range rx.Frames() {
			tx.Send(f)
		}
		if err := p.TxSync(); err != nil {
			return err
		}
	}
}

// ping sends one frame at a time and waits for its answer.
func ping(p *netmap.Port, length time.Duration) (latency.Distribution, error) {
	f, times := testFrame(60), latency.New()
	rx, tx := p.Rx()[0], p.Tx()[0]
	for i, begin := 0, time.Now(); i <= warmPings || time.Since(begin) < length; i++ {
		at := time.Now()
		tx.Send(f)
		if err := p.TxSync(); err != nil {
			return latency.Distribution{}, err
		}
		for back := 0; back == 0; {
			if err := poll(p, netmap.In, pingLimit); err != nil {
				return latency.Distribution{}, err
			}
			for range rx.Frames() {
				back++
			}
		}
		if i >= warmPings {
			times.Add(time.Since(at), 1)
		}
	}
	d, _ := times.Total()
	return d, nil
}

func pingAndPrint(p *netmap.Port, length time.Duration) error {
	d, err := ping(p, length)
	if err != nil {
		return err
	}
	return printPing(d)
}

func printPing(d latency.Distribution) error {
	text, err := json.Marshal(d)
	fmt.Fprintf(os.Stdout, "%s%s\n", PingLine, text)
	return err
}

// ParsePing reads what printPing wrote.
func ParsePing(text string) (d latency.Distribution, err error) {
	return d, json.Unmarshal([]byte(strings.TrimPrefix(text, PingLine)), &d)
}

// pingInside runs both stations in this process.
func pingInside(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want how long to spin and how long to ping, not %q", args)
	}
	spin, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	f, err := embed.New(embed.Config{Spin: spin})
	if err != nil {
		return err
	}
	a, err := f.Open("vale0:a")
	if err != nil {
		return err
	}
	b, err := f.Open("vale0:b")
	if err != nil {
		return err
	}
	go func() {
		fmt.Fprintln(os.Stderr, pong(b, false))
		os.Exit(1)
	}()
	return pingAndPrint(a, milliseconds(args[1]))
}
