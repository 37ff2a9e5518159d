package main

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newTestSite is a site that must be left as it was found.
func newTestSite(t *testing.T) *site {
	t.Helper()
	s, err := newSite("")
	require.NoError(t, err)
	t.Cleanup(func() {
		s.close()
		require.NoDirExists(t, s.dir)
		require.Empty(t, descendants(t, ourPID), "processes are left")
	})
	return s
}

// TestContenders takes some rounds with each contender that is installed.
func TestContenders(t *testing.T) {
	s := newTestSite(t)
	for _, c := range contenders {
		t.Run(c.name, func(t *testing.T) {
			version, err := c.version(t.Context(), s)
			var absent *absentError
			if errors.As(err, &absent) {
				t.Skipf("absent: %v", absent)
			}
			require.NoError(t, err)
			require.NotContains(t, version, "unknown")
			checkContender(t, s, c)
		})
	}
}

func checkContender(t *testing.T, s *site, c contender) {
	const n, rounds = 2, 3
	p := plan{sizes: []int{n}, rounds: rounds, runs: 1, budget: time.Minute, log: io.Discard}
	res := p.measureAll(t.Context(), s, []contender{c})
	require.NoError(t, res.broken())
	require.Empty(t, res.faults)
	for _, measure := range []string{allAnswered, lastHandler} {
		cell := res.find(c.name, measure, n)
		require.NotNil(t, cell, measure)
		got := cell.runs[0]
		// Serf may lose an event; the others must not.
		if !c.alone {
			require.Zero(t, got.incomplete, measure)
		}
		require.Equal(t, rounds, got.rounds+got.incomplete, measure)
		require.Positive(t, got.rounds, measure)
		require.Positive(t, got.p50, measure)
		require.Less(t, got.p99, patience, measure)
	}
}

// TestTally: a handler counts once, and the time is that of the last one.
func TestTally(t *testing.T) {
	s := newTestSite(t)
	reporter, err := newReporter(s.tally.path(), 2)
	require.NoError(t, err)
	defer reporter.conn.Close()
	reporter.handled(0, 7)
	reporter.handled(0, 7)
	before := time.Now().Round(0)
	reporter.handled(1, 7)
	reporter.handled(0, 8) // the other one does not come
	last, err := s.tally.await(t.Context(), 7, 2)
	require.NoError(t, err)
	require.False(t, last.Before(before))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.tally.await(ctx, 8, 2)
	require.ErrorIs(t, err, context.Canceled)
}

// TestSilentResponder asks three to answer, of whom two are there: the call goes on, and
// the round is incomplete.
func TestSilentResponder(t *testing.T) {
	answers := make(chan int, 3)
	answers <- 1
	answers <- 9 // of an earlier round
	answers <- 1
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := answered(allAnswered, 3, func(context.Context, int64) (int, error) {
		got := count(t.Context(), 2, answers, func(a int) bool { return a == 1 })
		return got + count(ctx, 1, answers, func(int) bool { return true }), nil
	})
	_, err := m.round(t.Context(), 1)
	require.ErrorIs(t, err, errIncomplete{2, 3})
}
