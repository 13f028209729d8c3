//go:build linux

package xsk

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

const (
	xdpPass        = 2  // XDP_PASS
	offsetRxQueue  = 16 // of rx_queue_index in struct xdp_md
	programLicense = "Dual BSD/GPL"
	socketsName    = "netmap_xsks"
	attachOp       = "attach XDP program to"
)

// ProgramName is the name of our XDP programs.
const ProgramName = "netmap_xdp"

// Program is an XDP program on an interface, with a table of sockets, one for each queue. Frames of
// a queue that has a socket in the table go to the socket, those of other queues to the host. The
// kernel removes the program when the process ends, for whatever reason.
type Program struct {
	ifindex int
	name    string // of the interface, for errors
	queues  int
	first   asm.Instructions // run before redirect
	sockets *ebpf.Map        // XSKMAP: queue -> socket
	link    link.Link
}

// Attach attaches a program without sockets to an interface. Native and ZeroCopy sockets need it in
// the driver, Generic sockets need it in Generic mode.
func Attach(ifindex, queues int, mode Mode) (*Program, error) {
	return attach(ifindex, queues, mode, nil)
}

func attach(ifindex, queues int, mode Mode, first asm.Instructions) (*Program, error) {
	name, err := ifname(attachOp, ifindex)
	if err != nil {
		return nil, err
	}
	if queues < 1 {
		return nil, invalid(attachOp, name, fmt.Sprintf("%d queues are too few", queues))
	}
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: socketsName, Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(queues),
	})
	if err != nil {
		return nil, fail("make table of sockets for", name, err, programHints)
	}
	p := &Program{ifindex: ifindex, name: name, queues: queues, first: first, sockets: sockets}
	if err := p.attach(mode); err != nil {
		sockets.Close()
		return nil, err
	}
	return p, nil
}

// attach loads the program and attaches it. The link keeps it alive.
func (p *Program) attach(mode Mode) error {
	prog, err := p.load()
	if err != nil {
		return fail("load XDP program for", p.name, err, programHints)
	}
	defer prog.Close()
	flags := link.XDPDriverMode
	if mode == Generic {
		flags = link.XDPGenericMode
	}
	p.link, err = link.AttachXDP(link.XDPOptions{Program: prog, Interface: p.ifindex, Flags: flags})
	// EEXIST means that a program is attached in the other mode.
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
		return occupied(p.ifindex, p.name)
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		err = errno // the library's text adds nothing
	}
	return fail(fmt.Sprintf("%s (%v)", attachOp, mode), p.name, err, attachHints)
}

// Renew attaches the program again, for a driver that has dropped it while the kernel still reports
// it. It loads a new copy: the kernel would not call the driver for the copy that is attached.
func (p *Program) Renew() error {
	const op = "renew XDP program of"
	prog, err := p.load()
	if err != nil {
		return fail(op, p.name, err, programHints)
	}
	defer prog.Close()
	return fail(op, p.name, p.link.Update(prog), attachHints)
}

// load loads the program. It declares that it takes frames of several pages: drivers give such
// frames only to programs that do.
func (p *Program) load() (*ebpf.Program, error) {
	spec := &ebpf.ProgramSpec{
		Name: ProgramName, Type: ebpf.XDP, License: programLicense, Flags: unix.BPF_F_XDP_HAS_FRAGS,
		Instructions: slices.Concat(p.first, redirect(p.sockets)),
	}
	if asksDriver(p.first) {
		spec.Flags |= unix.BPF_F_XDP_DEV_BOUND_ONLY
		spec.Ifindex, spec.AttachType = uint32(p.ifindex), ebpf.AttachXDP
	}
	prog, err := ebpf.NewProgram(spec)
	if errors.Is(err, unix.EINVAL) && !asksDriver(p.first) { // before Linux 5.18
		spec.Flags = 0
		prog, err = ebpf.NewProgram(spec)
	}
	return prog, err
}

// redirect is the rest of the program: return bpf_redirect_map(sockets, ctx->rx_queue_index,
// XDP_PASS). The last argument is the result for a queue that has no socket.
func redirect(sockets *ebpf.Map) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, offsetRxQueue, asm.Word),
		asm.LoadMapPtr(asm.R1, sockets.FD()),
		asm.Mov.Imm(asm.R3, xdpPass),
		asm.FnRedirectMap.Call(),
		asm.Return(),
	}
}

// Put directs the frames of the socket's queue to the socket.
func (p *Program) Put(queue int, s *Socket) error {
	const op = "steer to socket"
	if err := p.check(op, queue); err != nil {
		return err
	}
	on := queueName(p.name, queue)
	if s.queue != queue || s.ifindex != p.ifindex {
		return invalid(op, on, "the socket is bound to "+s.on) // the kernel would drop every frame
	}
	return fail(op, on, p.sockets.Put(uint32(queue), uint32(s.fd)), mapHints)
}

// Remove directs the frames of a queue to the host again. Closing the socket does the same.
func (p *Program) Remove(queue int) error {
	const op = "steer to host"
	if err := p.check(op, queue); err != nil {
		return err
	}
	err := p.sockets.Delete(uint32(queue))
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return fail(op, queueName(p.name, queue), err, mapHints)
}

func (p *Program) check(op string, queue int) error {
	if queue < 0 || queue >= p.queues {
		return invalid(op, queueName(p.name, queue), fmt.Sprintf("the program was attached for %d queues",
			p.queues))
	}
	return nil
}

// Close detaches the program. All frames go to the host then.
func (p *Program) Close() error {
	return fail("detach XDP program from", p.name, errors.Join(p.link.Close(), p.sockets.Close()), nil)
}
