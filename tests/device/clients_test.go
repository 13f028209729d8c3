//go:build linux

package device

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// All ways to wait work with all ways to register.
func TestPipe(t *testing.T) {
	n := newNode(t)
	for _, how := range []string{"poll", "select", "epoll", "epollet", "sync"} {
		for _, api := range []string{"0", "11", "14"} {
			t.Run(how+" with API "+api, func(t *testing.T) {
				n := &node{t, n.path, n.d}
				n.transfer(20000, at("x{1", "-w", how, "-L", api, "-k", "256"), true,
					at("x}1", "-w", how, "-L", api))
			})
		}
	}
	t.Run("several rings", func(t *testing.T) {
		n := &node{t, n.path, n.d}
		n.transfer(50000, at("x{1", "-q", "4", "-k", "256"), false, at("x}1"))
	})
	t.Run("frames of all sizes", func(t *testing.T) {
		n := &node{t, n.path, n.d}
		for _, size := range []string{"60", "61", "127", "1514", "2048"} {
			n.transfer(3000, at("x{1", "-l", size), true, at("x}1"))
		}
	})
	t.Run("a pipe of a switch's port, by the old modes", func(t *testing.T) {
		n := &node{t, n.path, n.d}
		const master, slave = "0x5", "0x6"
		n.transfer(3000, at("vale0:a", "-L", "11", "-x", master), true,
			at("vale0:a", "-L", "11", "-x", slave))
	})
}

// A switch drops frames for which a receiver has no room, so these clients send no more than a ring
// holds.
func TestVale(t *testing.T) {
	n := newNode(t)
	for _, how := range []string{"poll", "select", "epoll", "epollet", "sync"} {
		n.transfer(1000, at("vale0:a"), true, at("vale0:b", "-w", how), at("vale0:c", "-w", how))
	}
}

// Clients that check the answers themselves.
func TestRequests(t *testing.T) {
	for _, client := range []string{"errors", "options"} {
		t.Run(client, func(t *testing.T) {
			n := newNode(t)
			c := n.start(nil, client)
			await(t, client+" ends", c.ended)
			if c.err != nil {
				t.Errorf("%v\n%s%s", c.err, strings.Join(values(c), "\n"), c.stderr.String())
			}
		})
	}
}

func values(c *client) (all []string) {
	for k, v := range c.result {
		all = append(all, k+" "+v)
	}
	return all
}

// Lifetimes of bindings: with forks, with descriptors that are passed to other processes, with
// several descriptors on a port, one after another.
func TestLifetime(t *testing.T) {
	n := newNode(t)
	for _, name := range []string{"fork", "pass", "several", "exclusive", "reopen"} {
		t.Run(name, func(t *testing.T) {
			start(t, nil, "lifetime", "-d", n.path, name).wait()
			n.wantEmpty()
		})
	}
}

// Sleeping clients need no processor time.
func TestIdle(t *testing.T) {
	n := newNode(t)
	for i := range 20 {
		how := []string{"poll", "select", "epoll", "epollet"}[i%4]
		port := []string{"vale0:a", "vale1:b", "x{1", "y}2"}[i/5]
		n.start(nil, "sink", "-i", port, "-H", "-w", how).waitReady()
	}
	const window = 2 * time.Second
	var share float64
	for range 3 { // interrupts of other processes may be counted as ours once
		before := cpuTime(t)
		time.Sleep(window)
		share = float64(cpuTime(t)-before) / float64(window)
		t.Logf("20 sleeping clients cost %.2f %% of a processor", share*100)
		if share < 0.01 {
			return
		}
	}
	t.Errorf("20 sleeping clients cost %.2f %% of a processor, want less than 1 %%", share*100)
}

// cpuTime returns the processor time of this process.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
