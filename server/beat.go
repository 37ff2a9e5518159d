package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	// soonDelay gathers changes of workers into one beat: a busy pool changes
	// many times a second.
	soonDelay = time.Second
	// beatTimeout bounds one write of a beat.
	beatTimeout = 3 * time.Second
	// showTime is how long an answer waits until the registry shows the change.
	showTime = 3 * time.Second
	// retryMost is the longest time between a beat that has failed and the next.
	retryMost = 8 * time.Second
	// complainEvery is how often a fault that lasts is logged.
	complainEvery = time.Minute
)

// beater writes the server's entry. Server.serve starts and joins its
// goroutine; the channels are the only way in.
type beater struct {
	server *Server
	nowCh  chan struct{} // a change that operators wait for
	soonCh chan struct{} // a change that can wait for soonDelay
	ended  chan struct{} // closed when run has returned

	// Of one goroutine at a time: Run's, then run's, then Run's again.
	refused error // why register gave up
	tried   bool  // a write may have reached the database

	mu         sync.Mutex
	waiting    []chan struct{} // closed when a beat that begins now is written
	rtt        time.Duration   // of the last beat
	fault      error           // of the last beat
	since      time.Time       // when they began to fail
	complained time.Time
}

func newBeater(s *Server) *beater {
	return &beater{
		server: s, nowCh: make(chan struct{}, 1), soonCh: make(chan struct{}, 1), ended: make(chan struct{}),
	}
}

func (b *beater) now()  { notify(b.nowCh) }
func (b *beater) soon() { notify(b.soonCh) }

// notify leaves a note that needs to be there once.
func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// show waits until the registry shows what is so now, for showTime at most: an
// answer then is true for whoever looks. It does not wait before run.
func (b *beater) show(ctx context.Context) {
	if !b.server.inRegistry() {
		return
	}
	shown := make(chan struct{})
	b.mu.Lock()
	b.waiting = append(b.waiting, shown)
	b.mu.Unlock()
	b.now()
	timer := time.NewTimer(showTime)
	defer timer.Stop()
	select {
	case <-shown:
	case <-b.ended:
	case <-ctx.Done():
	case <-timer.C:
	}
}

// register enters the registry, trying until it succeeds, ctx ends, or the server
// that has the name beats: one that does not is waited for until it is lost.
func (b *beater) register(ctx context.Context) bool {
	var held time.Time // the last beat of a server that has the name
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		err := b.attempt(ctx, b.server.registry.register)
		var taken *NameTakenError
		switch {
		case err == nil:
			return true
		case errors.As(err, &taken) && !held.IsZero() && taken.At.After(held):
			b.refused = err
			return false
		case errors.As(err, &taken):
			held = taken.At // a dead one, perhaps our predecessor: it will be lost
			if !sleep(ctx, delay) {
				return false
			}
		case !sleep(ctx, delay):
			return false
		}
	}
}

// run beats until ctx ends.
func (b *beater) run(ctx context.Context) {
	defer close(b.ended)
	regular := time.NewTimer(b.server.heartbeat())
	defer regular.Stop()
	var gathered <-chan time.Time
	delay := soonDelay // after a failure
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.soonCh:
			if gathered == nil {
				gathered = time.After(soonDelay)
			}
			continue
		case <-gathered:
		case <-b.nowCh:
		case <-regular.C:
		}
		gathered = nil
		regular.Reset(b.server.heartbeat())
		if ctx.Err() != nil {
			return
		}
		if b.attempt(ctx, b.server.registry.beat) == nil {
			delay = soonDelay
		} else if sleep(ctx, delay-rand.N(delay/2)) { // not all in step: the store may have too much to do
			delay = min(2*delay, retryMost)
			b.now()
		}
	}
}

// attempt writes the entry once. The end of ctx does not interrupt it: a write
// that was given up here could still be carried out by the database, after the
// server has left the registry.
func (b *beater) attempt(ctx context.Context, write func(context.Context, Entry) error) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatTimeout)
	defer cancel()
	waiting := b.takeWaiting()
	e := b.server.entry()
	b.tried = true
	start := time.Now()
	err := write(bounded, e)
	b.note(ctx, err, time.Since(start))
	if err != nil {
		b.mu.Lock()
		b.waiting = append(b.waiting, waiting...)
		b.mu.Unlock()
		return err
	}
	b.server.noted(e.Desired)
	for _, shown := range waiting {
		close(shown)
	}
	return nil
}

func (b *beater) takeWaiting() []chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := b.waiting
	b.waiting = nil
	return waiting
}

// note keeps how the last beat went, and says when they begin and cease to fail,
// and now and then meanwhile.
func (b *beater) note(ctx context.Context, err error, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, now := b.fault, time.Now()
	b.fault = err
	if err == nil {
		b.rtt = took
		if before != nil {
			zerolog.Ctx(ctx).Info().Dur("after_ms", now.Sub(b.since)).Msg("the heartbeat is written again")
		}
		return
	}
	if before == nil {
		b.since = now
	}
	if before == nil || isTaken(before) != isTaken(err) || now.Sub(b.complained) >= complainEvery {
		b.complained = now
		b.complain(ctx, err)
	}
}

func (b *beater) complain(ctx context.Context, err error) {
	switch log := zerolog.Ctx(ctx); {
	case !isTaken(err):
		log.Warn().Err(err).Msg("cannot write the heartbeat; trying again until it succeeds")
	case b.server.inRegistry():
		log.Error().Err(err).Msg("this server is not in the registry: another took its name while it was cut off; " +
			"it goes on, unseen, and comes back when that one has gone")
	default:
		log.Warn().Err(err).Msg("waiting for the server's name")
	}
}

func isTaken(err error) bool {
	_, taken := errors.AsType[*NameTakenError](err)
	return taken
}

// failing says since when beats fail, and why the last one did.
func (b *beater) failing() (since time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.since, b.fault
}

func (b *beater) lastRTT() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rtt
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
