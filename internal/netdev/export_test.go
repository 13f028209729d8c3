//go:build linux

package netdev

var BindTo, Ask = bindTo, ask
