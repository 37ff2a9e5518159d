package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// plan is what to measure.
type plan struct {
	sizes  []int
	rounds int // of each measure, for each size and run
	runs   int
	// budget bounds all; each fleet, or group of fleets, has its share of what is
	// left of it, and then ends its rounds early.
	budget time.Duration
	log    io.Writer // progress, for people
}

// warmUps are rounds that do not count.
const warmUps = 5

// atLeast is how many rounds are taken however slow they are.
const atLeast = 3

// errBudget is why something was not measured.
var errBudget = errors.New("the budget was used up")

// measureAll measures the contenders. Those that do nothing while idle are up
// together and take turns, so that whatever else the machine does meets all of
// them; the others follow one by one.
func (p plan) measureAll(ctx context.Context, s *site, present []contender) *results {
	res := newResults()
	groups := grouped(present)
	left := p.runs * len(p.sizes) * len(groups)
	end := time.Now().Add(p.budget)
	for run := range p.runs {
		for _, n := range p.sizes {
			for _, group := range groups {
				share := time.Until(end) / time.Duration(left)
				left--
				if ctx.Err() != nil {
					return res
				}
				_, _ = fmt.Fprintf(p.log, "run %d of %d, n = %d: %v\n", run+1, p.runs, n, names(group))
				p.measureGroup(ctx, s, &round{run: run, n: n, share: share, turns: group, into: res})
			}
		}
	}
	return res
}

// grouped puts the quiet contenders together.
func grouped(all []contender) [][]contender {
	var quiet []contender
	var groups [][]contender
	for _, c := range all {
		if c.alone {
			groups = append(groups, []contender{c})
		} else {
			quiet = append(quiet, c)
		}
	}
	if quiet != nil {
		groups = append([][]contender{quiet}, groups...)
	}
	return groups
}

// round is the measuring of one group of contenders at one size in one run.
type round struct {
	run, n int
	share  time.Duration
	turns  []contender
	into   *results
}

// lane is one measure of one fleet, and what came of it so far.
type lane struct {
	contender string
	measure
	times      []time.Duration
	incomplete int
	err        error
}

func (p plan) measureGroup(ctx context.Context, s *site, r *round) {
	if r.share <= 0 {
		r.failAll(errBudget)
		return
	}
	var undo closers
	defer undo.close()
	var lanes []*lane
	start := time.Now()
	for _, c := range r.turns {
		fleet, err := c.open(ctx, s, r.n)
		if err != nil {
			r.into.fail(c.name, r.n, err)
			continue
		}
		undo.add(fleet.close)
		for _, m := range fleet.measures {
			lanes = append(lanes, &lane{contender: c.name, measure: m})
		}
	}
	_, _ = fmt.Fprintf(p.log, "  up after %.1f s\n", time.Since(start).Seconds())
	takeTurns(ctx, s, lanes, p.rounds, time.Now().Add(r.share))
	for _, l := range lanes {
		r.into.add(r.run, r.n, l)
	}
}

func (r *round) failAll(err error) {
	for _, c := range r.turns {
		r.into.fail(c.name, r.n, err)
	}
}

// takeTurns lets each lane have a round in turn; each time another one begins.
func takeTurns(ctx context.Context, s *site, lanes []*lane, rounds int, end time.Time) {
	for i := -warmUps; i < rounds; i++ {
		if ctx.Err() != nil || allFailed(lanes) || i >= atLeast && time.Now().After(end) {
			return
		}
		for j := range lanes {
			lanes[(j+i+warmUps)%len(lanes)].take(ctx, s.nextRound(), i)
		}
	}
}

func allFailed(lanes []*lane) bool {
	return !slices.ContainsFunc(lanes, func(l *lane) bool { return l.err == nil })
}

// take takes the round with index i; below 0 it only warms up.
func (l *lane) take(ctx context.Context, number int64, i int) {
	if ctx.Err() != nil || l.err != nil || l.most > 0 && (i < 0 || i >= l.most) {
		return
	}
	took, err := l.round(ctx, number)
	var incomplete errIncomplete
	switch {
	case ctx.Err() != nil, i < 0 && errors.As(err, &incomplete):
	case errors.As(err, &incomplete):
		l.incomplete++
	case err != nil:
		l.err = fmt.Errorf("%s: %w", l.name, err)
	case i >= 0:
		l.times = append(l.times, took)
	}
}
