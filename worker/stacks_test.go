package worker

import (
	"context"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/internal/stacks"
)

// These tests run outside of synctest, on the real runtime and profiler.

const (
	pkg      = "github.com/fleetcast/fleetcast/worker."
	waitMost = 10 * time.Second
	tick     = time.Millisecond
)

// family is work that starts goroutines, which wait until the test ends.
type family struct {
	feed    feed
	release chan struct{}
	all     sync.WaitGroup
}

func newFamily(t testing.TB) *family {
	f := &family{feed: make(feed), release: make(chan struct{})}
	t.Cleanup(func() { close(f.release); f.all.Wait() })
	return f
}

// start runs a pool with this family as its work.
func (f *family) start(t testing.TB, cfg Config) *Pool {
	pool, err := New(f.feed, cfg)
	require.NoError(t, err)
	f.all.Go(func() { _ = pool.Run(context.Background()) })
	t.Cleanup(func() { pool.Stop(0) })
	require.Eventually(t, func() bool { return pool.HasWorker(1) }, waitMost, tick)
	return pool
}

// work hands out a unit that hangs with that many goroutines beside its own, and
// returns when all of them do.
func (f *family) work(id string, children int, child func(<-chan struct{})) {
	var begun sync.WaitGroup
	begun.Add(children + 1)
	f.feed <- Work{ID: id, Kind: "import", Run: func(context.Context) error {
		var all sync.WaitGroup
		defer all.Wait()
		for range children {
			all.Go(func() { begun.Done(); child(f.release) })
		}
		begun.Done()
		parent(f.release)
		return nil
	}}
	begun.Wait()
}

//go:noinline
func parent(release <-chan struct{}) { <-release }

//go:noinline
func sonOfOne(release <-chan struct{}) { <-release }

//go:noinline
func sonOfTwo(release <-chan struct{}) {
	grandchild := make(chan struct{})
	go func() { defer close(grandchild); grandsonOfTwo(release) }()
	<-grandchild
}

//go:noinline
func grandsonOfTwo(release <-chan struct{}) {
	select {
	case <-release:
	case <-context.Background().Done():
	}
}

func stackOf(t *testing.T, p *Pool, workID string) Stack {
	t.Helper()
	stacks, err := p.Stacks()
	require.NoError(t, err)
	for _, s := range stacks {
		if s.Worker.WorkID == workID {
			return s
		}
	}
	require.Fail(t, "nobody works on it", workID)
	return Stack{}
}

func TestStacksAreOfOneWorkerAlone(t *testing.T) {
	f, other := newFamily(t), newFamily(t)
	pool := f.start(t, Config{Workers: 2})
	foreign := other.start(t, Config{Workers: 2}) // its workers have the same numbers
	f.work("one", 3, sonOfOne)
	f.work("two", 2, sonOfTwo)
	other.work("three", 5, sonOfOne)

	one := stackOf(t, pool, "one").Text
	require.Contains(t, one, "busy with import one: 4 goroutines\n\n1 goroutine [chan receive]:\n"+pkg+"parent\n\t")
	require.Regexp(t, `(?s)\n\n3 goroutines \[chan receive\]:\n[^\n]*sonOfOne\n\t[^\n]*stacks_test.go:\d+\n`, one)
	require.NotContains(t, one, "sonOfTwo")
	require.NotContains(t, one, "grandson")

	require.Eventually(t, func() bool {
		two := stackOf(t, pool, "two").Text
		return strings.Contains(two, ": 5 goroutines\n") &&
			strings.Contains(two, "2 goroutines [select]:\n"+pkg+"grandsonOfTwo\n") &&
			strings.Contains(two, "2 goroutines [chan receive]:\n"+pkg+"sonOfTwo\n") &&
			!strings.Contains(two, "sonOfOne")
	}, waitMost, tick)

	require.Contains(t, stackOf(t, foreign, "three").Text, ": 6 goroutines\n")
	require.Equal(t, one, stackOf(t, pool, "one").Text, "the text can be compared")
}

// TestRawStacks are of one worker alone, too, in the runtime's own format.
func TestRawStacks(t *testing.T) {
	f, other := newFamily(t), newFamily(t)
	pool := f.start(t, Config{Workers: 2})
	other.start(t, Config{Workers: 2})
	f.work("one", 3, sonOfOne)
	f.work("two", 2, sonOfTwo)
	other.work("three", 5, sonOfOne)
	t.Setenv("GODEBUG", "tracebacklabels=0")
	require.Empty(t, stackOf(t, pool, "one").Raw)

	t.Setenv("GODEBUG", "tracebacklabels=1")
	one := stackOf(t, pool, "one").Raw
	goroutines, rest := stacks.Parse(one)
	require.Empty(t, strings.TrimSpace(rest))
	require.Len(t, goroutines, 4)
	require.Equal(t, 3, strings.Count(one, "worker.sonOfOne("))
	require.NotContains(t, one, "sonOfTwo")
	for _, g := range goroutines {
		require.Positive(t, g.ID)
	}
}

func TestStacksByNumber(t *testing.T) {
	f := newFamily(t)
	pool := f.start(t, Config{Workers: 3})
	all, err := pool.Stacks()
	require.NoError(t, err)
	require.Equal(t, []int{1, 2, 3}, numbers(all))

	some, err := pool.Stacks(3, 1, 3)
	require.NoError(t, err)
	require.Equal(t, []int{1, 3}, numbers(some))

	some, err = pool.Stacks(7, 2)
	require.ErrorIs(t, err, ErrNoWorker)
	require.ErrorContains(t, err, "worker 7")
	require.Equal(t, []int{2}, numbers(some))
}

func numbers(stacks []Stack) (ids []int) {
	for _, s := range stacks {
		ids = append(ids, s.Worker.ID)
	}
	return ids
}

func TestStacksOfIdleAndOfStoppedPool(t *testing.T) {
	pool, err := New(make(feed), Config{Workers: 1})
	require.NoError(t, err)
	none, err := pool.Stacks()
	require.NoError(t, err)
	require.Empty(t, none)

	f := newFamily(t)
	idle := f.start(t, Config{Workers: 1})
	require.Eventually(t, func() bool {
		stacks, err := idle.Stacks()
		return err == nil && len(stacks) == 1 &&
			strings.HasPrefix(stacks[0].Text, "worker 1, idle: 1 goroutine\n\n1 goroutine [select]:\n"+pkg+"feed.Take\n")
	}, waitMost, tick)
}

// Labels that work sets and leaves set do not hide the worker afterwards.
func TestLabelsSurviveWork(t *testing.T) {
	f := newFamily(t)
	pool := f.start(t, Config{Workers: 1})
	for range 2 {
		reported := make(chan struct{})
		f.feed <- Work{Run: func(context.Context) error {
			pprof.SetGoroutineLabels(context.Background())
			return nil
		}, Report: func(error) { close(reported) }}
		<-reported
	}
	f.work("next", 1, sonOfOne)
	require.Contains(t, stackOf(t, pool, "next").Text, ": 2 goroutines\n")
}

func TestProfileLabels(t *testing.T) {
	f := newFamily(t)
	pool := f.start(t, Config{Workers: 1, ProfileLabels: map[string]string{"fleetcast_server": "s1"}})
	labels := make(chan map[string]string, 1)
	f.feed <- Work{Run: func(ctx context.Context) error {
		found := map[string]string{}
		pprof.ForLabels(ctx, func(key, value string) bool { found[key] = value; return true })
		labels <- found
		return nil
	}}
	require.Equal(t, map[string]string{LabelPool: pool.id, LabelWorker: "1", "fleetcast_server": "s1"}, <-labels)
}
