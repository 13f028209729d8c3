package main

import (
	"github.com/spf13/cobra"

	"github.com/seed-48afdc40/netmap/cmd/netmap/bridge"
	"github.com/seed-48afdc40/netmap/cmd/netmap/capture"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/doctor"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen"
	"github.com/seed-48afdc40/netmap/cmd/netmap/lb"
	"github.com/seed-48afdc40/netmap/cmd/netmap/manual"
	"github.com/seed-48afdc40/netmap/cmd/netmap/replay"
	"github.com/seed-48afdc40/netmap/cmd/netmap/top"
	"github.com/seed-48afdc40/netmap/cmd/netmap/vale"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "netmap",
		Short: "Fast packet input and output in user space, without a kernel module",
		Long: `netmap moves Ethernet frames between network interfaces, VALE switches and
pipes at tens of millions of frames a second.

Start with "netmap gen": without arguments it needs no privileges, sends frames
through a switch inside its own process and checks every byte of them.`,
		Version:       cli.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(bridge.New(), capture.New(), doctor.New(), gen.New(), doctor.NewInfo(), lb.New(),
		replay.New(), newServe(), top.New(), vale.New())
	root.AddCommand(manual.New())
	cli.MarkUsage(root)
	cli.Complete(root)
	return root
}
