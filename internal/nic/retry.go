//go:build linux

package nic

import (
	"sync"
	"time"
)

// retrier offers frames that the kernel did not take again until it takes them: the program may
// sleep meanwhile.
type retrier struct {
	port  *Port
	bell  chan struct{}
	done  chan struct{}
	ended sync.WaitGroup
}

const (
	leastRetry = 500 * time.Microsecond
	mostRetry  = 16 * time.Millisecond
)

func newRetrier(p *Port) *retrier {
	t := &retrier{port: p, bell: make(chan struct{}, 1), done: make(chan struct{})}
	t.ended.Add(1)
	go t.run()
	return t
}

// arm makes the retrier try soon.
func (t *retrier) arm() {
	select {
	case t.bell <- struct{}{}:
	default:
	}
}

func (t *retrier) run() {
	defer t.ended.Done()
	nap := leastRetry
	timer := time.NewTimer(nap)
	defer timer.Stop()
	for {
		select {
		case <-t.bell:
		case <-t.done:
			return
		}
		timer.Reset(nap)
		select {
		case <-timer.C:
		case <-t.done:
			return
		}
		if nap = min(2*nap, mostRetry); !t.port.retry() {
			nap = leastRetry
		}
	}
}

func (t *retrier) close() {
	close(t.done)
	t.ended.Wait()
}

// retry offers what is left in all queues again. It returns true if frames still wait and none was
// sent.
func (p *Port) retry() (stuck bool) {
	var left, gone uint32
	for _, q := range p.queues {
		if q.tx != nil {
			l, g := q.tx.retry()
			left, gone = left+l, gone+g
		}
	}
	return left > 0 && gone == 0
}
