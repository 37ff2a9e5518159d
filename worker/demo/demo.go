// Package demo is a [worker.Source] of simulated work: units that take visible
// time and do nothing. It is for trying out a fleet, and for demonstrations.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/fleetcast/fleetcast/worker"
)

// ErrSimulated is the failure of every Config.FailEvery-th unit.
var ErrSimulated = errors.New("simulated failure")

// Config says what the simulated work is like. Its zero value is ready to use.
type Config struct {
	// Shortest and Longest bound the random time that a unit takes. Default
	// 0.5 s and 4 s; when only one is given and contradicts the other's default,
	// both are that long.
	Shortest, Longest time.Duration

	// FailEvery lets every so many-th unit fail with [ErrSimulated] at its end.
	// Default 0: none.
	FailEvery int

	// HangEvery lets every so many-th unit hang, as a lost lock does: it never ends,
	// also when its context does. For trying out thread dumps and kill. Default 0:
	// none.
	HangEvery int

	// Kinds are the kinds of work, chosen at random. Default: import, export,
	// report, cleanup and notify.
	Kinds []string

	// Seed is what all random choices follow from. Default 0.
	Seed uint64
}

// Source returns endless simulated work, numbered from 1. Units are made in the
// order of Take, only of kinds that pass its filter; if none passes there is no
// work. Their Run returns early when its ctx ends. It is safe for concurrent
// use.
func Source(cfg Config) worker.Source {
	cfg.Shortest = cmp.Or(cfg.Shortest, min(500*time.Millisecond, cmp.Or(cfg.Longest, time.Hour)))
	cfg.Longest = max(cmp.Or(cfg.Longest, 4*time.Second), cfg.Shortest)
	if len(cfg.Kinds) == 0 {
		cfg.Kinds = []string{"import", "export", "report", "cleanup", "notify"}
	}
	return &source{cfg: cfg, random: rand.New(rand.NewPCG(cfg.Seed, 0)), never: make(chan struct{})}
}

type source struct {
	cfg   Config
	never chan struct{} // is closed by tests alone

	mu     sync.Mutex
	random *rand.Rand
	last   int
}

// Take implements [worker.Source].
func (s *source) Take(ctx context.Context, f worker.Filter) (worker.Work, error) {
	if err := ctx.Err(); err != nil {
		return worker.Work{}, err
	}
	kinds := s.passing(f)
	if len(kinds) == 0 {
		return worker.Work{}, worker.ErrNoWork
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	kind := kinds[s.random.IntN(len(kinds))]
	takes := s.cfg.Shortest + time.Duration(s.random.Int64N(int64(s.cfg.Longest-s.cfg.Shortest)+1))
	return s.unit(s.last, kind, takes), nil
}

func (s *source) passing(f worker.Filter) (kinds []string) {
	for _, kind := range s.cfg.Kinds {
		if f.Match(kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

func (s *source) unit(number int, kind string, takes time.Duration) worker.Work {
	var outcome error
	if s.cfg.FailEvery > 0 && number%s.cfg.FailEvery == 0 {
		outcome = ErrSimulated
	}
	w := worker.Work{
		ID:          strconv.Itoa(number),
		Kind:        kind,
		Description: fmt.Sprintf("simulated %s %d, %.1f s", kind, number, takes.Seconds()),
		Run:         func(ctx context.Context) error { return simulate(ctx, takes, outcome) },
	}
	if s.cfg.HangEvery > 0 && number%s.cfg.HangEvery == 0 {
		w.Description = fmt.Sprintf("simulated %s %d, hangs", kind, number)
		w.Run = func(context.Context) error { return hang(s.never) }
	}
	return w
}

// hang is what a thread dump shows of work that hangs.
func hang(never <-chan struct{}) error {
	<-never
	return nil
}

// simulate is what a thread dump shows of the work.
func simulate(ctx context.Context, takes time.Duration, outcome error) error {
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
		return outcome
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
