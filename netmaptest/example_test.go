package netmaptest_test

import (
	"context"
	"testing"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/netmaptest"
	"github.com/seed-48afdc40/netmap/packet"
)

// answer is the program under test: it answers each frame with one in the opposite direction. It
// opens its port with a function, which is netmap.Open in production.
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

// A test of a program that opens an interface. It runs on any machine and as any user.
func TestAnswer(t *testing.T) {
	fake := netmaptest.New(t)
	wire := fake.Interface("eth0")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- answer(ctx, fake.Open) }()

	wire.Lose(func(n int, _ []byte) bool { return n == 1 }) // the second frame is lost
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

// For a whole test see TestAnswer in this file. The example has no output, because it needs a
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

// A pair of ports is enough for a program to which a port is passed.
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
