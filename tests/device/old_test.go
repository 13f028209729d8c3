//go:build linux

package device

import (
	"path/filepath"
	"strconv"
	"testing"
)

// old are the APIs of which there are programs: the manual page's generator, and a receiver, compiled with a header of the
// time. Those before API 10 count with avail, and know other rings.
var old = []string{"a0", "a3", "a4b", "a5", "a10", "a11", "a13"}

// trader is a program of an API; "" is today's.
func (n *node) trader(e endpoint, api, function string, frames int) *client {
	n.t.Helper()
	args := append([]string{"-i", e.port, "-n", strconv.Itoa(frames)}, e.args...)
	if api != "" {
		return n.start(e.ns, "traffic-"+api, append([]string{"-f", function}, args...)...)
	}
	return n.start(e.ns, map[string]string{"tx": "gen", "rx": "sink"}[function], args...)
}

// trade sends frames from a program of one API to programs of others, and counts them.
func (n *node) trade(frames int, ordered bool, from endpoint, fromAPI string, to endpoint, toAPIs ...string) {
	n.t.Helper()
	var receivers []*client
	for _, api := range toAPIs {
		e := to
		if len(toAPIs) > 1 {
			e.port += api // on a switch, everybody has a port of his own
		}
		receivers = append(receivers, n.trader(e, api, "rx", frames).waitReady())
	}
	sender := n.trader(from, fromAPI, "tx", frames)
	sender.wait()
	for _, r := range receivers {
		r.wait()
		if r.count("got") != frames || r.count("bad") != 0 || ordered && r.count("reordered") != 0 {
			n.t.Errorf("%s, from %s: %v", r.what, sender.what, r.result)
		}
	}
}

// On a switch, each to all: a frame is for everybody.
func TestOldOnSwitch(t *testing.T) {
	n := newNode(t)
	for i, from := range append(old, "") {
		t.Run("from "+from, func(t *testing.T) {
			n := &node{t, n.path, n.d}
			how := []string{"poll", "select", "sync"}[i%3]
			n.trade(1000, true, at("vale0:from", "-w", how), from, at("vale0:to", "-w", how), append(old, "")...)
			n.wantEmpty()
		})
	}
}

// On a pipe, where nothing is lost and everybody has to wait for the other.
func TestOldOnPipe(t *testing.T) {
	n := newNode(t)
	for i, from := range old {
		n.trade(20000, true, at("x{1", "-m"), from, at("x}1", "-m"), old[(i+3)%len(old)])
		n.trade(20000, true, at("x{1"), "", at("x}1", "-w", "sync"), from)
		n.wantEmpty()
	}
}

// On an interface, each to each.
func TestOldOnNIC(t *testing.T) {
	n, h := newNode(t), newHosts(t)
	n.requireXDP(h)
	for _, from := range append(old, "") {
		t.Run("from "+from, func(t *testing.T) {
			n := &node{t, n.path, n.d}
			for _, to := range append(old, "") {
				n.trade(200, false, at(nic, gently...).in(h.a), from, at(nic).in(h.b), to)
			}
			n.wantEmpty()
		})
	}
	t.Run("one ring", func(t *testing.T) {
		n := &node{t, n.path, n.d}
		for _, api := range old {
			n.trade(300, true, at(nic, append([]string{"-r", "2"}, gently...)...).in(h.a), api, at(nic, "-r", "2").in(h.b), api)
		}
	})
	h.wantOwnStack(t)
}

// The host keeps its connectivity through a program that joins ring pair N, the host stack, to the interface.
func TestOldHostRings(t *testing.T) {
	n, h := newNode(t), newHosts(t)
	n.requireXDP(h)
	h.b.Offloads(t, nic, "tx", "off") // what it sends has no cable to complete checksums for
	for _, api := range old {
		t.Run(api, func(t *testing.T) {
			n := &node{t, n.path, n.d}
			c := n.start(h.a, "traffic-"+api, "-i", nic, "-f", "host").waitReady()
			h.talk(t)
			if !c.alive() {
				t.Errorf("%s has ended: %s", c.what, c.stderr.String())
			}
			c.kill()
			n.wantEmpty()
		})
	}
	h.wantOwnStack(t)
}

// What the first manual page promises.
func TestManualPage(t *testing.T) {
	n := newNode(t)
	c := n.start(nil, "manual", "-i", "vale0:m", "-o", "vale0:o")
	await(t, "manual ends", c.ended)
	if c.err != nil {
		t.Errorf("%v\n%s%s", c.err, c.result["complaints"], c.stderr.String())
	}
	n.wantEmpty()
}

// The first manual page's example as it is printed, whose ring has no time stamp: on a pipe, a
// switch, and an interface; and programs that know that ring among others.
func TestPageExample(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "node"), "--api0-page")
	n := s.node
	send := func(what string, from, to endpoint, frames int) {
		t.Helper()
		sink := n.trader(to, "", "rx", frames).waitReady()
		page := n.start(from.ns, "page", "-i", from.port, "-n", strconv.Itoa(frames)).waitReady()
		sink.wait()
		if sink.count("got") != frames || sink.count("bad")+sink.count("reordered") != 0 {
			t.Errorf("%s: %v", what, sink.result)
		}
		page.kill()
	}
	send("a pipe", at("x{1"), at("x}1"), 5000)
	send("a switch", at("vale0:page"), at("vale0:to"), 500)
	n.trade(5000, true, at("x{1", "-m"), "a0page", at("x}1", "-m"), "a0page")
	n.trade(5000, true, at("x{1"), "a3", at("x}1", "-w", "sync"), "a0page")
	n.trade(5000, true, at("x{1", "-w", "select"), "a0page", at("x}1"), "")
	h := newHosts(t)
	s.requireXDPOfServer(h)
	send("an interface", at(nic).in(h.a), at(nic).in(h.b), 300)
	s.kill()
}

// Programs of different layouts on one ring, each at its own pace: none sees a frame twice, and
// none hears of an error. The ring holds all frames, so that no slot is filled anew that one
// program has given back and another is still reading.
func TestOldSharesRing(t *testing.T) {
	n := newNode(t)
	for i, crew := range [][]string{{"", "a3"}, {"", "a0"}, {"a3", "a4b"}, {"", "", "a0", "a5"}} {
		var receivers []*client
		for k, api := range crew {
			how := []string{"poll", "select", "sync"}[(i+k)%3]
			receivers = append(receivers, n.trader(at("vale0:to", "-w", how, "-t", "60"), api, "rx", 1000000).waitReady())
		}
		n.trader(at("vale0:from"), "", "tx", 1000).wait()
		got := 0
		for _, r := range receivers {
			r.wait()
			got += r.count("got")
			if r.count("reordered") != 0 || r.result["events"] != "" {
				t.Errorf("%v: %s: %v", crew, r.what, r.result)
			}
		}
		if got < 1000 {
			t.Errorf("%v: %d frames, want all", crew, got)
		}
		n.wantEmpty()
	}
}
