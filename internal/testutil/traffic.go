package testutil

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// AddAddr gives an interface an address with a prefix length: "10.0.0.1/24", "fd00::1/64". An IPv6
// address enables IPv6 on the interface.
func (ns *NS) AddAddr(t testing.TB, name, addr string) {
	t.Helper()
	ns.Do(func() {
		a, err := netlink.ParseAddr(addr)
		if err == nil && a.IP.To4() == nil {
			a.Flags = 0x02 // IFA_F_NODAD: usable at once
			err = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("0"), 0)
			Require(t, "IPv6", err)
		}
		var l netlink.Link
		if err == nil {
			l, err = netlink.LinkByName(name)
		}
		if err == nil {
			err = netlink.AddrAdd(l, a)
		}
		if err != nil {
			t.Fatalf("address %s on %s: %v", addr, name, err)
		}
	})
}

// Offloads switches offloads of an interface. args are those of ethtool -K.
func (ns *NS) Offloads(t testing.TB, name string, args ...string) {
	t.Helper()
	ethtool, err := exec.LookPath("ethtool")
	Require(t, "ethtool (Debian package ethtool)", err)
	ns.Do(func() {
		out, err := exec.Command(ethtool, append([]string{"-K", name}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ethtool -K %s %v: %v: %s", name, args, err, out)
		}
	})
}

// Ping sends echo requests with so many bytes of payload to an IPv4 address, with a pause after
// each. It returns how many were not answered within a second after the last one.
func (ns *NS) Ping(t testing.TB, to string, count, size int, pause time.Duration) (lost int) {
	t.Helper()
	var c net.PacketConn
	var err error
	ns.Do(func() { c, err = net.ListenPacket("ip4:icmp", "0.0.0.0") })
	Require(t, "raw sockets", err)
	defer c.Close()
	answered := make(chan int)
	go func() {
		seen, b := map[uint16]bool{}, make([]byte, 1<<16)
		for len(seen) < count {
			n, _, err := c.ReadFrom(b)
			if err != nil {
				break
			}
			if n == size+8 && b[0] == 0 && binary.BigEndian.Uint16(b[4:]) == 0xbeef &&
				bytes.Equal(b[8:n], echo(size, binary.BigEndian.Uint16(b[6:]))[8:]) {
				seen[binary.BigEndian.Uint16(b[6:])] = true
			}
		}
		answered <- len(seen)
	}()
	for seq := range count {
		if _, err := c.WriteTo(echo(size, uint16(seq)), &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
			t.Errorf("ping %s: %v", to, err)
		}
		time.Sleep(pause)
	}
	c.SetReadDeadline(time.Now().Add(time.Second))
	return count - <-answered
}

// echo makes an echo request whose payload depends on its number.
func echo(size int, seq uint16) []byte {
	b := append([]byte{8, 0, 0, 0, 0xbe, 0xef, byte(seq >> 8), byte(seq)}, make([]byte, size)...)
	for i := range size {
		b[8+i] = byte(int(seq) + i)
	}
	sum := uint32(0)
	for i, x := range b {
		sum += uint32(x) << (8 * (1 - i&1))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
	return b
}

// Transfer sends n bytes through TCP to an address of another namespace, and returns how long that
// took. The test fails if the bytes arrive changed or too late.
func (ns *NS) Transfer(t testing.TB, to *NS, addr string, n int64,
	within time.Duration) time.Duration {
	t.Helper()
	var l net.Listener
	var c net.Conn
	var err error
	to.Do(func() { l, err = net.Listen("tcp", net.JoinHostPort(addr, "0")) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialer := &net.Dialer{Timeout: within, FallbackDelay: -1}
	ns.Do(func() { c, err = dialer.Dial("tcp", l.Addr().String()) })
	if err != nil {
		t.Errorf("connect to %s: %v", addr, err)
		return within
	}
	defer c.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	start := time.Now()
	c.SetDeadline(start.Add(within))
	far.SetDeadline(start.Add(within))
	type result struct {
		n   int64
		sum []byte
		err error
	}
	received := make(chan result)
	go func() {
		h := sha256.New()
		n, err := io.Copy(h, far)
		received <- result{n, h.Sum(nil), err}
	}()
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(c, h), &pattern{left: n})
	c.(*net.TCPConn).CloseWrite()
	if r := <-received; err != nil || r.err != nil || r.n != n || !bytes.Equal(r.sum, h.Sum(nil)) {
		t.Errorf("TCP to %s: %d of %d bytes arrived, intact %v: %v", addr, r.n, n,
			bytes.Equal(r.sum, h.Sum(nil)), errors.Join(err, r.err))
	}
	return time.Since(start)
}

// pattern is a stream of bytes without a short period.
type pattern struct {
	left int64
	x    uint64
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.left)]
	for i := range b {
		p.x = p.x*6364136223846793005 + 1442695040888963407
		b[i] = byte(p.x >> 56)
	}
	p.left -= int64(len(b))
	return len(b), nil
}

// Datagrams sends UDP datagrams of growing size to an address of another namespace, each after the
// answer to the one before. It returns how many were not answered. The kernel drops datagrams with
// a wrong checksum.
func (ns *NS) Datagrams(t testing.TB, to *NS, addr string, count int) (lost int) {
	t.Helper()
	var server net.PacketConn
	var client net.Conn
	var err error
	to.Do(func() { server, err = net.ListenPacket("udp", net.JoinHostPort(addr, "0")) })
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ns.Do(func() { client, err = net.Dial("udp", server.LocalAddr().String()) })
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	go func() {
		for b := make([]byte, 1<<16); ; {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			server.WriteTo(b[:n], from)
		}
	}()
	answer := make([]byte, 1<<16)
	for i := range count {
		b := fmt.Appendf(nil, "%0*d", 1+i*1400/count, i)
		client.Write(b)
		client.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := client.Read(answer); err != nil || !bytes.Equal(answer[:n], b) {
			lost++
		}
	}
	return lost
}

// Tag puts an interface into a VLAN: what the host sends on it gets a tag, as an offload that the
// interface has to do, and what it receives loses one. BPF programs do this, because not every
// kernel has VLAN interfaces.
func (ns *NS) Tag(t testing.TB, name string, id uint16) {
	t.Helper()
	const (
		next      = -1
		drop      = 2
		vlanField = 20     // vlan_present in struct __sk_buff
		etherVLAN = 0x0081 // ETH_P_8021Q in network byte order
	)
	push := asm.Instructions{
		asm.Mov.Imm(asm.R2, etherVLAN), asm.Mov.Imm(asm.R3, int32(id)),
		asm.FnSkbVlanPush.Call(), asm.Mov.Imm(asm.R0, next), asm.Return(),
	}
	pop := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, vlanField, asm.Word), asm.JEq.Imm(asm.R2, 0, "untagged"),
		asm.FnSkbVlanPop.Call(), asm.Mov.Imm(asm.R0, next), asm.Return(),
		asm.Mov.Imm(asm.R0, drop).WithSymbol("untagged"), asm.Return(),
	}
	ns.Do(func() {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		for where, code := range map[ebpf.AttachType]asm.Instructions{
			ebpf.AttachTCXEgress: push, ebpf.AttachTCXIngress: pop,
		} {
			p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS,
				License: "Dual BSD/GPL", Instructions: code})
			Require(t, "BPF", err)
			defer p.Close()
			tcx, err := link.AttachTCX(link.TCXOptions{Interface: l.Attrs().Index, Program: p, Attach: where,
				Anchor: link.Head()})
			Require(t, "TCX (Linux 6.6)", err)
			t.Cleanup(func() { tcx.Close() })
		}
	})
}
