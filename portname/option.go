package portname

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// option is an option of a name. @option=value sets the first of its keys.
type option struct {
	keys  []string
	parse func(n *Name, name span, values map[string]span) error
}

var options = map[string]option{
	"conf":   {keysOf(confKeys), (*Name).parseConf},
	"extmem": {append([]string{"file"}, keysOf(extmemKeys)...), (*Name).parseExtmem},
	"offset": {keysOf(offsetKeys), (*Name).parseOffset},
	"share":  {[]string{"port"}, (*Name).parseShare},
}

// parseOption parses one option, without its @.
func (n *Name) parseOption(s span) error {
	name, rest := s.cut(":=")
	opt, ok := options[name.String()]
	if !ok {
		return name.fail("option", "conf, extmem, offset, share or the number of a memory region")
	}
	if rest.empty() {
		return rest.fail("end of option", fmt.Sprintf("@%s:%s=value", name, opt.keys[0]))
	}
	body := rest.skip(1)
	if rest.first().String() == ":" {
		values, err := parseValues(body, opt.keys)
		if err != nil {
			return err
		}
		return opt.parse(n, name, values)
	}
	if body.empty() {
		return body.fail("value", "a value for "+opt.keys[0])
	}
	return opt.parse(n, name, map[string]span{opt.keys[0]: body})
}

// parseValues parses key=value,key=value. A key with an empty value ("rings=") is ignored.
func parseValues(s span, keys []string) (map[string]span, error) {
	values := make(map[string]span)
	for !s.empty() {
		item, rest := s.cut(",")
		name, value := item.cut("=")
		key := strings.ReplaceAll(name.String(), "_", "-")
		if !slices.Contains(keys, key) {
			return nil, name.fail("key", "one of "+strings.Join(keys, ", "))
		}
		if value.empty() {
			return nil, name.fail("key", fmt.Sprintf("a value for it: %s=...", key))
		}
		if _, ok := values[key]; ok {
			return nil, name.fail("key", "it only once")
		}
		if value = value.skip(1); !value.empty() {
			values[key] = value
		}
		s = rest.skip(1)
	}
	return values, nil
}

// parseShare accepts a port without rings and flags, because none are opened.
func (n *Name) parseShare(name span, values map[string]span) error {
	value, ok := values["port"]
	if !ok || n.Share != "" {
		return name.fail("option", "one port to share with, as in @share=vale0:a")
	}
	port, mode := value.cut("-^*/")
	if !mode.empty() {
		return mode.fail("text", "a port without rings and flags")
	}
	var err error
	n.Share, err = parsePort(port)
	return err
}

// parseConf may be called for several @conf options: later ones add to earlier ones.
func (n *Name) parseConf(_ span, values map[string]span) error {
	return set(&n.Conf, confKeys, values)
}

func (n *Name) parseExtmem(name span, values map[string]span) error {
	file, ok := values["file"]
	if !ok || n.Extmem.File != "" {
		return name.fail("option", "one file, as in @extmem:file=/dev/hugepages/a")
	}
	n.Extmem.File = file.String()
	return set(&n.Extmem, extmemKeys, values)
}

func (n *Name) parseOffset(name span, values map[string]span) error {
	if _, ok := values["initial"]; !ok || n.Offset.Bits != 0 {
		return name.fail("option", "one initial offset, as in @offset:initial=64")
	}
	n.Offset.Bits = wholePtr
	return set(&n.Offset, offsetKeys, values)
}

// numberKey is a key whose value is a number.
type numberKey[T any] struct {
	key string
	max uint64
	set func(*T, uint64)
}

// confKeys has the keys for both directions before those for one direction, so that the latter win.
var confKeys = []numberKey[Conf]{
	{"rings", math.MaxUint16, func(c *Conf, v uint64) { c.TxRings, c.RxRings = uint16(v), uint16(v) }},
	{"tx-rings", math.MaxUint16, func(c *Conf, v uint64) { c.TxRings = uint16(v) }},
	{"rx-rings", math.MaxUint16, func(c *Conf, v uint64) { c.RxRings = uint16(v) }},
	{"host-rings", math.MaxUint16, func(c *Conf, v uint64) {
		c.HostTxRings, c.HostRxRings = uint16(v),
			uint16(v)
	}},
	{"host-tx-rings", math.MaxUint16, func(c *Conf, v uint64) { c.HostTxRings = uint16(v) }},
	{"host-rx-rings", math.MaxUint16, func(c *Conf, v uint64) { c.HostRxRings = uint16(v) }},
	{"slots", math.MaxUint32, func(c *Conf, v uint64) { c.TxSlots, c.RxSlots = uint32(v), uint32(v) }},
	{"tx-slots", math.MaxUint32, func(c *Conf, v uint64) { c.TxSlots = uint32(v) }},
	{"rx-slots", math.MaxUint32, func(c *Conf, v uint64) { c.RxSlots = uint32(v) }},
}

var extmemKeys = []numberKey[Extmem]{
	{"if-num", math.MaxUint32, func(e *Extmem, v uint64) { e.If.Num = uint32(v) }},
	{"if-size", math.MaxUint32, func(e *Extmem, v uint64) { e.If.Size = uint32(v) }},
	{"ring-num", math.MaxUint32, func(e *Extmem, v uint64) { e.Ring.Num = uint32(v) }},
	{"ring-size", math.MaxUint32, func(e *Extmem, v uint64) { e.Ring.Size = uint32(v) }},
	{"buf-num", math.MaxUint32, func(e *Extmem, v uint64) { e.Buf.Num = uint32(v) }},
	{"buf-size", math.MaxUint32, func(e *Extmem, v uint64) { e.Buf.Size = uint32(v) }},
}

var offsetKeys = []numberKey[Offset]{
	{"initial", math.MaxUint64, func(o *Offset, v uint64) { o.Initial = v }},
	{"bits", wholePtr, func(o *Offset, v uint64) {
		if v != 0 { // 0 means all bits of ptr, as no value does
			o.Bits = uint32(v)
		}
	}},
}

func keysOf[T any](list []numberKey[T]) []string {
	var keys []string
	for _, k := range list {
		keys = append(keys, k.key)
	}
	return keys
}

// set stores the values of the keys in list.
func set[T any](dst *T, list []numberKey[T], values map[string]span) error {
	for _, k := range list {
		value, ok := values[k.key]
		if !ok {
			continue
		}
		v, err := value.number(k.key, 0, k.max)
		if err != nil {
			return err
		}
		k.set(dst, v)
	}
	return nil
}
