//go:build linux

package pace

import (
	"context"
	"testing"
	"time"
)

func TestUntil(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		p := New()
		for _, d := range []time.Duration{-time.Second, 0, time.Microsecond, mostMargin,
			3 * time.Millisecond, longestNap + mostMargin} {
			at := time.Now().Add(d)
			now := p.Until(t.Context(), at)
			if now.Before(at) {
				t.Errorf("%v: back %v too early", d, at.Sub(now))
			}
		}
	}()
	<-done
}

func TestUntilEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	at := time.Now().Add(time.Hour)
	if now := (&Pacer{}).Until(ctx, at); !now.Before(at) {
		t.Error("an hour has passed")
	}
}

func TestUntilAllocatesNothing(t *testing.T) {
	p := &Pacer{margin: leastMargin}
	n := testing.AllocsPerRun(10, func() {
		p.Until(context.Background(), time.Now().Add(2*mostMargin))
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
