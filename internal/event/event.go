// Package event defines the events that a framework and its daemon report while they run: their
// kinds, their fields, and how they look in a log.
package event

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Keys of the fields in a log line. A key means the same in every line. doc/monitoring.md explains
// the keys.
const (
	KeyEvent          = "event"
	KeyPID            = "pid"
	KeyProgram        = "program"
	KeyUser           = "user"
	KeyRequest        = "request"
	KeyDevice         = "device"
	KeyVersion        = "version"
	KeySocket         = "socket"
	KeyAddress        = "address"
	KeyPort           = "port"
	KeyPorts          = "ports"
	KeyClients        = "clients"
	KeyInterface      = "interface"
	KeyMode           = "mode"
	KeySetting        = "setting"
	KeyWas            = "was"
	KeyMTU            = "mtu"
	KeyReason         = "reason"
	KeyBytes          = "bytes"
	KeyBuffers        = "buffers"
	KeyRings          = "rings"
	KeyInterfaceRings = "interface-rings"
	KeyValePorts      = "vale-ports"
	KeyQueues         = "queues"
	KeyKernel         = "kernel-bytes"
	KeyUptime         = "uptime"
	KeyOmitted        = "omitted"
	KeyErrno          = "errno"
	KeyError          = "error"
)

// Kind is a kind of event.
type Kind struct {
	Name  string // the value of KeyEvent, for programs
	Text  string // the message, for people
	Level slog.Level
	Own   bool // about the daemon itself; never left out, because clients cannot cause many of these
}

// The kinds of events.
var (
	Serving = kind("serving", "serving", slog.LevelInfo).own()
	Memory  = kind("memory", "memory is taken as ports open, all of it with the first interface",
		slog.LevelInfo).own()
	Stopping      = kind("stopping", "stopping", slog.LevelInfo).own()
	PortsLost     = kind("ports-lost", "a client loses its ports", slog.LevelWarn).own()
	Stopped       = kind("stopped", "stopped", slog.LevelInfo).own()
	Failed        = kind("failed", "the daemon ends with an error", slog.LevelError).own()
	StatusMissing = kind("status-missing", "there is no status API", slog.LevelWarn).own()
	StatusExposed = kind("status-exposed", "other machines can read the status", slog.LevelWarn).own()
	StatusTrouble = kind("status-trouble", "the status API had an error", slog.LevelWarn)
	Recovered     = kind("recovered", "an interface was given back after a crash",
		slog.LevelInfo).own()
	NotRecovered = kind("not-recovered", "interfaces are not as they were before a crash",
		slog.LevelWarn).own()

	Answered = kind("answered", "request answered", slog.LevelDebug)
	Refused  = kind("refused", "request refused", slog.LevelWarn)
	Omitted  = kind("omitted", "messages were left out", slog.LevelWarn)

	InUse       = kind("in-use", "interface in use", slog.LevelInfo)
	Changed     = kind("changed", "interface settings changed", slog.LevelInfo)
	Restored    = kind("restored", "interface settings put back", slog.LevelInfo)
	NotRestored = kind("not-restored", "interface is not as it was", slog.LevelWarn)
	Pinned      = kind("pinned", "all buffers are in memory, for an interface", slog.LevelInfo)
	Note        = kind("note", "users of the interface should know", slog.LevelWarn)
	Renamed     = kind("renamed", "interface renamed", slog.LevelInfo)
	NewMTU      = kind("mtu", "interface has another MTU", slog.LevelInfo)
	Down        = kind("down", "interface is down", slog.LevelWarn)
	Up          = kind("up", "interface is up again", slog.LevelWarn) // at the level of Down
	Gone        = kind("gone", "interface cannot be used any more", slog.LevelWarn)
	HostTrouble = kind("host-trouble", "interface and host stack are not joined as they should be",
		slog.LevelWarn)
	Detached = kind("detached", "port detached from its switch: its interface is gone",
		slog.LevelWarn)
	Placed   = kind("placed", "clients were placed", slog.LevelInfo)
	NoParent = kind("no-parent", "the parent of a pipe is no interface", slog.LevelInfo)
)

// Kinds are all kinds of events.
var Kinds []*Kind

func kind(name, text string, level slog.Level) *Kind {
	k := &Kind{Name: name, Text: text, Level: level}
	Kinds = append(Kinds, k)
	return k
}

func (k *Kind) own() *Kind {
	k.Own = true
	return k
}

// Event is something that happened. Fields that do not apply are zero.
type Event struct {
	Kind    *Kind
	PID     int // of the client
	Program string
	User    string // number of the user who opened the device
	Request string
	Device  string
	Version string
	Socket  string
	Address string
	Port    string // the name with which it is opened
	Ports   []string
	Clients int

	Interface string
	Mode      string
	Setting   string
	Was       string // the interface's former name
	MTU       int
	Reason    string
	Bytes     uint64
	Buffers   uint64
	Rings     uint64
	// InterfaceRings is the number of interface rings for which the buffers suffice. ValePorts is the
	// number of VALE ports or pipes for which the same buffers would suffice instead.
	InterfaceRings uint64
	ValePorts      uint64
	Queues         int
	// KernelBytes is the memory that the kernel allocates for each queue.
	KernelBytes uint64
	Uptime      time.Duration
	Omitted     uint64
	Err         error
}

// String describes the event in a sentence.
func (e Event) String() string {
	what := cmp.Or(e.Reason, e.Kind.Text)
	if e.Err != nil {
		what = e.Err.Error()
	}
	if subject := cmp.Or(e.Interface, e.Port); subject != "" {
		return subject + ": " + what
	}
	return what
}

// Log writes the event to a log.
func (e Event) Log(l *slog.Logger) {
	ctx := context.Background()
	if l.Enabled(ctx, e.Kind.Level) {
		l.LogAttrs(ctx, e.Kind.Level, e.Kind.Text, e.Attrs()...)
	}
}

// Attrs returns the event's fields for a log line. Zero fields are left out.
func (e Event) Attrs() []slog.Attr {
	list := []slog.Attr{slog.String(KeyEvent, e.Kind.Name)}
	text := func(key, value string) {
		if value != "" {
			list = append(list, slog.String(key, value))
		}
	}
	number := func(key string, value uint64, say bool) {
		if say {
			list = append(list, slog.Uint64(key, value))
		}
	}
	number(KeyPID, uint64(e.PID), e.PID > 0)
	text(KeyProgram, e.Program)
	text(KeyUser, e.User)
	text(KeyRequest, e.Request)
	text(KeyDevice, e.Device)
	text(KeyVersion, e.Version)
	text(KeySocket, e.Socket)
	text(KeyAddress, e.Address)
	text(KeyPort, e.Port)
	text(KeyPorts, strings.Join(e.Ports, ","))
	number(KeyClients, uint64(e.Clients), e.Clients > 0 || e.Kind == Stopping)
	text(KeyInterface, e.Interface)
	text(KeyMode, e.Mode)
	text(KeySetting, e.Setting)
	text(KeyWas, e.Was)
	number(KeyMTU, uint64(e.MTU), e.MTU > 0)
	text(KeyReason, e.Reason)
	number(KeyBytes, e.Bytes, e.Bytes > 0)
	number(KeyBuffers, e.Buffers, e.Buffers > 0)
	number(KeyRings, e.Rings, e.Rings > 0)
	number(KeyInterfaceRings, e.InterfaceRings, e.Kind == Memory)
	number(KeyValePorts, e.ValePorts, e.Kind == Memory)
	number(KeyQueues, uint64(e.Queues), e.Queues > 0)
	number(KeyKernel, e.KernelBytes, e.KernelBytes > 0)
	if e.Uptime > 0 {
		text(KeyUptime, e.Uptime.Round(time.Millisecond).String())
	}
	number(KeyOmitted, e.Omitted, e.Omitted > 0)
	if e.Err != nil {
		text(KeyErrno, unix.ErrnoName(fault.Errno(e.Err)))
		text(KeyError, e.Err.Error())
	}
	return list
}
