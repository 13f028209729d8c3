package vale

import (
	"sync/atomic"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/port"
)

var (
	_ port.Port   = (*Attachment)(nil)
	_ port.Headed = (*Attachment)(nil)
)

// Attachment is a device as a port of a switch: a network interface, a host stack, or a port of
// another switch. No program can use the device meanwhile. Frames that the device receives enter
// the switch, and frames for the device are copied into its tx rings:
//
//	device's rx ring --> Drain, a sender --> switch --> inbox with an outlet --> device's tx ring
//
// A sender's sync sends frames for a device that the kernel drives, a batch at a time. A port of
// another switch would forward them at once, through any number of switches and back to this one:
// its frames wait for Flush. The owner must call Drain and Flush.
type Attachment struct {
	port   *Port // its tx rings are the device's rx rings, and the other way round
	device port.Port
}

// outlet is the additional state of an inbox that is a device's tx ring. The inbox's lock guards
// all fields but pending.
type outlet struct {
	next    uint32 // the slot where the next packet goes; those before it are the device's
	direct  bool   // publish sends at once
	pending atomic.Bool
	waker   kring.Waiter
}

// Attach makes the device a port of the switch. The waker is woken when there is work for Flush.
// Errors are those of starting the device's rings, and of Join.
func Attach(s *Switch, name string, d port.Port, waker kring.Waiter) (*Attachment, error) {
	p := &Port{Name: name}
	p.at.Store(nowhere)
	p.rings = [2][]*kring.Ring{abi.DirTx: d.Rings(abi.DirRx), abi.DirRx: d.Rings(abi.DirTx)}
	a := &Attachment{p, d}
	var started []*kring.Ring
	for _, rings := range p.rings {
		for _, r := range rings {
			if err := a.start(r); err != nil {
				a.stop(started)
				return nil, err
			}
			started = append(started, r)
		}
	}
	for _, r := range p.rings[abi.DirTx] {
		tx := &sender{port: p}
		tx.prepare(r)
		p.senders = append(p.senders, tx)
	}
	for _, r := range p.rings[abi.DirRx] {
		out := &outlet{next: r.Head(), direct: r.Leaf, waker: waker}
		p.inboxes = append(p.inboxes, &inbox{port: p, ring: r, open: true, out: out})
	}
	if err := s.Join(p); err != nil {
		a.stop(started)
		return nil, err
	}
	return a, nil
}

func (a *Attachment) start(r *kring.Ring) error {
	r.Hold()
	defer r.Drop()
	return a.device.Start(r)
}

func (a *Attachment) stop(rings []*kring.Ring) {
	for _, r := range rings {
		r.Hold()
		a.device.Stop(r)
		r.Drop()
	}
}

// Close takes the device off the switch and stops its rings. Drain and Flush must not be called any
// more.
func (a *Attachment) Close() error {
	a.port.Leave()
	for _, in := range a.port.inboxes {
		in.mu.Lock()
		in.open = false
		in.mu.Unlock()
	}
	for _, rings := range a.port.rings {
		a.stop(rings)
	}
	return nil
}

// Member returns the attachment's port on the switch.
func (a *Attachment) Member() *Port { return a.port }

// Rings returns the rings as the switch sees them: tx rings are those in which the device receives.
func (a *Attachment) Rings(dir kring.Dir) []*kring.Ring { return a.port.rings[dir] }

// Start returns EBUSY: a program cannot open an attachment.
func (a *Attachment) Start(*kring.Ring) error {
	return fault.New(syscall.EBUSY, "open", a.port.Name,
		"it is attached to the switch; open another port of it, or detach it")
}

// Stop has nothing to do: no ring was started.
func (a *Attachment) Stop(*kring.Ring) {}

// Header returns 0: the device's frames have no virtio-net headers.
func (a *Attachment) Header() uint32 { return 0 }

// SetHeader returns EOPNOTSUPP for headers.
func (a *Attachment) SetHeader(length uint32) error {
	if length > 0 {
		return fault.New(syscall.EOPNOTSUPP, "set header of", a.port.Name,
			"the frames of an interface have no virtio-net headers")
	}
	return nil
}

// Drain sends what rx ring i of the device has received into the switch, and returns the number of
// slots. The device gets them back at the next Drain, so the caller repeats it until it returns 0.
// If another thread drains the ring, Drain does nothing. An error means that the device is down, or
// gone.
func (a *Attachment) Drain(i int) (slots uint32, err error) {
	r := a.port.rings[abi.DirTx][i]
	if !r.TryHold() {
		return 0, nil
	}
	defer r.Drop()
	if err := r.Sync(r, nil); err != nil {
		return 0, err
	}
	from, to := r.Head(), r.HwTail.Load()
	if from == to {
		return 0, nil
	}
	a.port.senders[i].forward(from, to)
	r.Advance(to)
	r.Publish()
	return r.Dist(from, to), nil
}

// Flush sends what waits in the tx rings of the device, and takes back the slots of sent frames. It
// reports whether frames still wait, for room in the device or because it is down.
func (a *Attachment) Flush() (pending bool) {
	for _, in := range a.port.inboxes {
		if in.out.pending.Load() {
			pending = in.flush() || pending
		}
	}
	return pending
}

func (in *inbox) flush() bool {
	o, r := in.out, in.ring
	in.mu.Lock()
	o.pending.Store(false)
	next := o.next
	if o.direct {
		defer in.mu.Unlock()
	} else {
		in.mu.Unlock() // the device's sync may lead back to here
	}
	if !o.send(r, next) {
		o.pending.Store(true)
		return true
	}
	return false
}

// send syncs the device with the slots before next, and reports whether it has sent all.
func (o *outlet) send(r *kring.Ring, next uint32) bool {
	if r.Head() != next {
		r.Advance(next)
	}
	if r.Sync(r, nil) != nil {
		return false
	}
	r.Publish()
	return r.HwCur.Load() == r.Next(r.HwTail.Load())
}

// space is inbox.space for a device. When half of the ring is with the device, slots of sent frames
// are taken back first.
func (o *outlet) space(r *kring.Ring) (tail, room uint32) {
	if room = r.Dist(o.next, r.HwTail.Load()); room < r.N/2 && o.direct {
		o.send(r, o.next)
		room = r.Dist(o.next, r.HwTail.Load())
	}
	return o.next, room
}

// publish sends the slots before next, or leaves that to Flush. Flush also takes back the slots
// that the device still has.
func (o *outlet) publish(r *kring.Ring, next uint32) {
	o.next = next
	if (!o.direct || !o.send(r, next)) && !o.pending.Swap(true) {
		o.waker.Wake()
	}
}
