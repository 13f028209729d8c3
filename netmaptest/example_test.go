package netmaptest_test

import (
	"context"
	"testing"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/netmaptest"
	"github.com/seed-48afdc40/netmap/packet"
)

// answer is a program that is to be tested: it answers each frame with one in the opposite direction. What opens ports is a
// parameter: netmap.Open in production.
func answer(ctx context.Context, open func(string, ...netmap.Option) (*netmap.Port, error)) error {
	port, err := open("netmap:eth0")
	if err != nil {
		return err
	}
	link := packet.New(port)
	defer link.Close()
	for {
		frame, err := link.Next(ctx)
		if err != nil {
			return err
		}
		var back []byte
		back = append(back, frame.Data[6:12]...)
		back = append(back, frame.Data[0:6]...)
		back = append(back, frame.Data[12:]...)
		if _, err := link.Send(ctx, back); err != nil {
			return err
		}
	}
}

// The test of a program that opens an interface, on any machine and as any user.
func TestAnswer(t *testing.T) {
	fake := netmaptest.New(t)
	wire := fake.Interface("eth0")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- answer(ctx, fake.Open) }()

	wire.Lose(func(n int, _ []byte) bool { return n == 1 }) // the second frame does not get there
	wire.Send(
		[]byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x88\xb5one"),
		[]byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x88\xb5two"),
		[]byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x88\xb5three"))
	wire.Expect(
		[]byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5one"),
		[]byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5three"))

	cancel()
	<-ended
}

// The example of the package: see TestAnswer in this file for a whole test. It has no output, since what it shows needs a
// testing.T.
func Example() {
	_ = func(t *testing.T) {
		fake := netmaptest.New(t)
		wire := fake.Interface("eth0")
		go answer(t.Context(), fake.Open)

		wire.Send([]byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x88\xb5hello"))
		wire.Expect([]byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5hello"))
	}
}

// A program that is given a port needs a pair of them.
func ExamplePair() {
	_ = func(t *testing.T) {
		here, there := netmaptest.Pair(t)
		here.Tx()[0].Send([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5hello"))
		here.TxSync()
		there.RxSync()
		for _, frame := range there.Rx()[0].Frames() {
			t.Logf("%s", frame)
		}
	}
}
