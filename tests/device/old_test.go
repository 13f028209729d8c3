//go:build linux

package device

import (
	"path/filepath"
	"strconv"
	"testing"
)

// old lists the APIs with programs: the manual page's generator and a receiver, compiled with a
// header of the API. Programs before API 10 count with avail, and have other rings.
var old = []string{"a0", "a3", "a4b", "a5", "a10", "a11", "a13"}

// startTraffic starts the traffic program of an API; "" is today's.
func (n *node) startTraffic(e endpoint, api, function string, frames int) *client {
	n.t.Helper()
	args := append([]string{"-i", e.port, "-n", strconv.Itoa(frames)}, e.args...)
	if api != "" {
		return n.start(e.ns, "traffic-"+api, append([]string{"-f", function}, args...)...)
	}
	return n.start(e.ns, map[string]string{"tx": "gen", "rx": "sink"}[function], args...)
}

// exchange sends frames from a program of one API to programs of others, and checks that all
// arrive.
func (n *node) exchange(frames int, ordered bool, from endpoint, fromAPI string, to endpoint,
	toAPIs ...string) {
	n.t.Helper()
	var receivers []*client
	for _, api := range toAPIs {
		e := to
		if len(toAPIs) > 1 {
			e.port += api // on a switch each program has a port of its own
		}
		receivers = append(receivers, n.startTraffic(e, api, "rx", frames).waitReady())
	}
	sender := n.startTraffic(from, fromAPI, "tx", frames)
	sender.wait()
	for _, r := range receivers {
		r.wait()
		if r.count("got") != frames || r.count("bad") != 0 || ordered && r.count("reordered") != 0 {
			n.t.Errorf("%s, from %s: %v", r.what, sender.what, r.result)
		}
	}
}

// On a switch, each program broadcasts to all others.
func TestOldOnSwitch(t *testing.T) {
	n := newNode(t)
	for i, from := range append(old, "") {
		t.Run("from "+from, func(t *testing.T) {
			n := &node{t, n.path, n.d}
			how := []string{"poll", "select", "sync"}[i%3]
			n.exchange(1000, true, at("vale0:from", "-w", how), from, at("vale0:to", "-w", how),
				append(old, "")...)
			n.wantEmpty()
		})
	}
}

// On a pipe nothing is lost, and each end has to wait for the other.
func TestOldOnPipe(t *testing.T) {
	n := newNode(t)
	for i, from := range old {
		n.exchange(20000, true, at("x{1", "-m"), from, at("x}1", "-m"), old[(i+3)%len(old)])
		n.exchange(20000, true, at("x{1"), "", at("x}1", "-w", "sync"), from)
		n.wantEmpty()
	}
}

// On an interface, programs of each API send to programs of each API.
func TestOldOnNIC(t *testing.T) {
	n, h := newNode(t), newHosts(t)
	n.requireXDP(h)
	for _, from := range append(old, "") {
		t.Run("from "+from, func(t *testing.T) {
			n := &node{t, n.path, n.d}
			for _, to := range append(old, "") {
				n.exchange(200, false, at(nic, gently...).in(h.a), from, at(nic).in(h.b), to)
			}
			n.wantEmpty()
		})
	}
	t.Run("one ring", func(t *testing.T) {
		n := &node{t, n.path, n.d}
		for _, api := range old {
			n.exchange(300, true, at(nic, append([]string{"-r", "2"}, gently...)...).in(h.a), api,
				at(nic, "-r", "2").in(h.b), api)
		}
	})
	h.wantOwnStack(t)
}

// The host stays connected through a program that forwards between ring pair N, the host rings, and
// the interface.
func TestOldHostRings(t *testing.T) {
	n, h := newNode(t), newHosts(t)
	n.requireXDP(h)
	h.b.Offloads(t, nic, "tx", "off") // a veth pair passes frames on with unfinished checksums
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

// A program checks what the first manual page documents.
func TestManualPage(t *testing.T) {
	n := newNode(t)
	c := n.start(nil, "manual", "-i", "vale0:m", "-o", "vale0:o")
	await(t, "manual ends", c.ended)
	if c.err != nil {
		t.Errorf("%v\n%s%s", c.err, c.result["text"], c.stderr.String())
	}
	n.wantEmpty()
}

// The example of the first manual page, whose ring has no time stamp, works as printed on a pipe, a
// switch and an interface. So do other programs with that ring, together with programs of other
// APIs.
func TestPageExample(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "node"), "--api0-page")
	n := s.node
	send := func(what string, from, to endpoint, frames int) {
		t.Helper()
		sink := n.startTraffic(to, "", "rx", frames).waitReady()
		page := n.start(from.ns, "page", "-i", from.port, "-n", strconv.Itoa(frames)).waitReady()
		sink.wait()
		if sink.count("got") != frames || sink.count("bad")+sink.count("reordered") != 0 {
			t.Errorf("%s: %v", what, sink.result)
		}
		page.kill()
	}
	send("a pipe", at("x{1"), at("x}1"), 5000)
	send("a switch", at("vale0:page"), at("vale0:to"), 500)
	n.exchange(5000, true, at("x{1", "-m"), "a0page", at("x}1", "-m"), "a0page")
	n.exchange(5000, true, at("x{1"), "a3", at("x}1", "-w", "sync"), "a0page")
	n.exchange(5000, true, at("x{1", "-w", "select"), "a0page", at("x}1"), "")
	h := newHosts(t)
	s.requireXDPOfServer(h)
	send("an interface", at(nic).in(h.a), at(nic).in(h.b), 300)
	s.kill()
}

// Programs of different layouts read one ring, each at its own pace: none sees a frame twice or
// gets an error. The ring holds all frames, so that no slot that one program has released is filled
// again while another still reads it.
func TestOldSharesRing(t *testing.T) {
	n := newNode(t)
	for i, apis := range [][]string{{"", "a3"}, {"", "a0"}, {"a3", "a4b"}, {"", "", "a0", "a5"}} {
		var receivers []*client
		for k, api := range apis {
			how := []string{"poll", "select", "sync"}[(i+k)%3]
			receivers = append(receivers, n.startTraffic(at("vale0:to", "-w", how, "-t", "60"), api,
				"rx", 1000000).waitReady())
		}
		n.startTraffic(at("vale0:from"), "", "tx", 1000).wait()
		got := 0
		for _, r := range receivers {
			r.wait()
			got += r.count("got")
			if r.count("reordered") != 0 || r.result["events"] != "" {
				t.Errorf("%v: %s: %v", apis, r.what, r.result)
			}
		}
		if got < 1000 {
			t.Errorf("%v: %d frames, want all", apis, got)
		}
		n.wantEmpty()
	}
}
