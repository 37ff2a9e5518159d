package main

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// results collects the rounds, and what could not be measured.
type results struct {
	cells  []*cell
	faults []fault
}

// cell is one measure of one contender at one size, over all runs.
type cell struct {
	contender, measure string
	n                  int
	runs               []runTimes
}

// runTimes is what one run gave.
type runTimes struct {
	run        int
	rounds     int // that count
	incomplete int // in which somebody was not heard
	p50, p99   time.Duration
}

// fault is something that is missing in the figures.
type fault struct {
	contender string
	n         int
	err       error
}

func newResults() *results { return &results{} }

func (r *results) fail(contender string, n int, err error) {
	r.faults = append(r.faults, fault{contender, n, err})
}

func (r *results) add(run, n int, l *lane) {
	if l.err != nil {
		r.fail(l.contender, n, l.err)
	}
	if len(l.times)+l.incomplete == 0 {
		return
	}
	c := r.find(l.contender, l.name, n)
	if c == nil {
		c = &cell{contender: l.contender, measure: l.name, n: n}
		r.cells = append(r.cells, c)
	}
	slices.Sort(l.times)
	c.runs = append(c.runs, runTimes{
		run: run, rounds: len(l.times), incomplete: l.incomplete, p50: quantile(l.times, 50), p99: quantile(l.times, 99),
	})
}

func (r *results) find(contender, measure string, n int) *cell {
	for _, c := range r.cells {
		if c.contender == contender && c.measure == measure && c.n == n {
			return c
		}
	}
	return nil
}

// broken reports whether something failed that is not for want of time.
func (r *results) broken() error {
	var all error
	for _, f := range r.faults {
		if !errors.Is(f.err, errBudget) {
			all = errors.Join(all, f.err)
		}
	}
	return all
}

// spread is a figure over the runs.
type spread struct{ median, least, most time.Duration }

// over returns the spread of a figure over the runs that have it.
func (c *cell) over(figure func(runTimes) time.Duration) (s spread, ok bool) {
	var all []time.Duration
	for _, r := range c.runs {
		if r.rounds > 0 {
			all = append(all, figure(r))
		}
	}
	if len(all) == 0 {
		return spread{}, false
	}
	slices.Sort(all)
	return spread{median(all), all[0], all[len(all)-1]}, true
}

// ratio is the median over the runs of the medians' ratio to the floor's of the same
// run; 0 when there is none.
func (c *cell) ratio(floor *cell) float64 {
	if floor == nil {
		return 0
	}
	var all []float64
	for _, r := range c.runs {
		for _, f := range floor.runs {
			if f.run == r.run && f.rounds > 0 && r.rounds > 0 {
				all = append(all, float64(r.p50)/float64(f.p50))
			}
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return median(all)
}

// quantile returns the smallest of the sorted values that percent of them do not
// exceed; 0 of none.
func quantile[T cmp.Ordered](sorted []T, percent int) T {
	if len(sorted) == 0 {
		var none T
		return none
	}
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

// median is the middle one of the sorted values, of an even number the mean of both.
func median[T time.Duration | float64](sorted []T) T {
	m := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[m-1] + sorted[m]) / 2
	}
	return sorted[m]
}
