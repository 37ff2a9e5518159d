package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestModel plays random sequences of everything that can be asked of a pool
// against a source and work that misbehave in every known way, and holds the
// pool to its promises after each step.
func TestModel(t *testing.T) {
	sequences := uint64(300)
	if testing.Short() {
		sequences = 30
	}
	for seed := range sequences {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playModel(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func playModel(t *testing.T, random *rand.Rand) {
	source := &chaos{random: rand.New(rand.NewPCG(random.Uint64(), 2)), units: map[int]*chaosUnit{}}
	m := &model{t: t, random: random, source: source, size: 1 + random.IntN(6), seen: map[int]bool{}}
	m.running = run(t, source, Config{Workers: m.size})
	m.check("start")
	for range 40 {
		m.check(m.step())
	}
	m.finish()
}

// model is what a pool should be like.
type model struct {
	*running
	t      *testing.T
	random *rand.Rand
	source *chaos
	size   int

	paused, quiet, stopping bool

	seen map[int]bool // numbers of workers; false when they have gone
	last int          // the highest of them
	all  sync.WaitGroup
}

// step does one random thing and returns its name.
func (m *model) step() string {
	time.Sleep(time.Duration(m.random.Int64N(int64(5 * time.Second))))
	id := 1 + m.random.IntN(m.last+1)
	switch n := m.random.IntN(100); {
	case n < 25:
		require.Equal(m.t, !m.paused, m.Pause())
		m.paused = true
		return "pause"
	case n < 55:
		require.Equal(m.t, m.paused, m.Resume())
		m.paused = false
		return "resume"
	case n < 75:
		m.all.Go(func() { m.stopWorker(id) })
		return fmt.Sprint("stop worker ", id)
	case n < 95:
		wait := time.Duration(m.random.Int64N(int64(4 * time.Second)))
		m.all.Go(func() { m.killWorker(id, wait) })
		return fmt.Sprint("kill worker ", id)
	case n < 97:
		require.Equal(m.t, !m.quiet, m.Quiet())
		m.quiet = true
		return "quiet"
	case n < 99:
		m.Stop(time.Duration(m.random.Int64N(int64(30 * time.Second))))
		m.stopping = true
		return "stop"
	default:
		m.Kill(time.Duration(m.random.Int64N(int64(5 * time.Second))))
		m.stopping = true
		return "kill"
	}
}

func (m *model) stopWorker(id int) {
	err := m.StopWorker(m.t.Context(), id)
	if err != nil && !errors.Is(err, ErrNoWorker) && !errors.As(err, new(*AbandonedError)) {
		m.t.Errorf("stop worker %d: %v", id, err)
	}
	if err == nil && m.HasWorker(id) {
		m.t.Errorf("worker %d is there after its stop", id)
	}
}

func (m *model) killWorker(id int, wait time.Duration) {
	begun := time.Now()
	status, err := m.KillWorker(m.t.Context(), id, wait)
	switch {
	case errors.Is(err, ErrNoWorker):
		return
	case err != nil || status.State != Stopped && status.State != Abandoned:
		m.t.Errorf("kill worker %d: %+v, %v", id, status, err)
	}
	if took := time.Since(begun); took > max(wait, leastWait) {
		m.t.Errorf("kill worker %d took %v, more than %v", id, took, wait)
	}
}

// check compares the pool with the model.
func (m *model) check(step string) {
	m.t.Helper()
	synctest.Wait()
	workers := m.Workers()
	live := 0
	for _, w := range workers {
		m.checkWorker(step, w)
		if w.State != Abandoned {
			live++
		}
	}
	for id := range m.seen {
		m.seen[id] = slices.ContainsFunc(workers, func(w Status) bool { return w.ID == id })
		require.Equal(m.t, m.seen[id], m.HasWorker(id))
	}
	require.LessOrEqual(m.t, live, m.size, step)
	if !m.stopping {
		require.Equal(m.t, m.size, live, step)
	}
	require.Equal(m.t, m.paused, m.Paused(), step)
	m.checkUnits(step, workers)
}

func (m *model) checkWorker(step string, w Status) {
	m.t.Helper()
	if there, known := m.seen[w.ID]; known {
		require.True(m.t, there, "%s: number %d is used again", step, w.ID)
	} else {
		require.Greater(m.t, w.ID, m.last, "%s: numbers rise", step)
		m.last, m.seen[w.ID] = w.ID, true
	}
	allowed := []State{Busy, Stopping, Abandoned}
	switch {
	case m.stopping:
		allowed = []State{Stopping, Abandoned}
	case m.paused: // idle only in a Take that ignores its end
		allowed = append(allowed, Paused, Idle)
	default:
		allowed = append(allowed, Idle)
	}
	require.Contains(m.t, allowed, w.State, "%s: %+v", step, w)
	require.Equal(m.t, w.WorkID != "", !w.BusySince.IsZero())
	require.Equal(m.t, w.State == Abandoned, w.Stack != "")
	if w.State == Busy {
		require.NotEmpty(m.t, w.WorkID)
	}
	if w.State == Idle || w.State == Paused || w.State == Starting {
		require.Empty(m.t, w.WorkID)
	}
}

// checkUnits compares the units that run with what workers say they do.
func (m *model) checkUnits(step string, workers []Status) {
	m.t.Helper()
	var said []string
	idle := 0
	for _, w := range workers {
		if w.WorkID != "" {
			said = append(said, w.WorkID)
		}
		if w.State == Idle {
			idle++
		}
	}
	m.source.mu.Lock()
	defer m.source.mu.Unlock()
	var runs []string
	for id, u := range m.source.units {
		if u.runs > u.reports {
			runs = append(runs, strconv.Itoa(id))
		}
		require.LessOrEqual(m.t, u.runs, 1, "unit %d", id)
	}
	require.ElementsMatch(m.t, runs, said, step)
	stuck := m.source.deafTakes
	if m.paused || m.quiet || m.stopping {
		require.Equal(m.t, stuck, m.source.takes, "%s: nobody waits in Take", step)
	}
	if m.paused && !m.stopping {
		require.LessOrEqual(m.t, idle, stuck, "%s: idle although paused", step)
	}
}

// finish ends the pool and looks at what became of the work.
func (m *model) finish() {
	m.Stop(10 * time.Second)
	err := m.result()
	abandoned := &AbandonedError{}
	if err != nil {
		require.ErrorAs(m.t, err, &abandoned)
	}
	for _, w := range m.Workers() { // some may have gone since
		require.Equal(m.t, Abandoned, w.State)
		require.True(m.t, slices.ContainsFunc(abandoned.Workers, func(a Status) bool { return a.ID == w.ID }))
	}
	time.Sleep(time.Hour)
	synctest.Wait()
	m.all.Wait()
	require.Empty(m.t, m.Workers())
	for id, u := range m.source.units {
		require.Equal(m.t, 1, u.runs, "unit %d is run", id)
		require.Equal(m.t, 1, u.reports, "unit %d is reported", id)
	}
}

// chaos is a source that does whatever a source can do wrong.
type chaos struct {
	mu        sync.Mutex
	random    *rand.Rand
	units     map[int]*chaosUnit // taken
	takes     int                // Takes that wait
	deafTakes int                // those of them that ignore their context
}

type chaosUnit struct{ runs, reports int }

func (c *chaos) pick(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.IntN(n)
}

func (c *chaos) Take(ctx context.Context, _ Filter) (Work, error) {
	time.Sleep(time.Nanosecond) // a Take in a tight loop would stop the clock
	switch c.pick(12) {
	case 0:
		return Work{}, ErrNoWork
	case 1:
		return Work{}, errSource
	case 2:
		panic("source broke")
	case 3:
		runtime.Goexit()
	case 4: // ignores its context, and has a unit after all
		c.wait(1, func() { time.Sleep(c.duration()) })
		return c.unit(), ctx.Err()
	case 5, 6: // a long wait for a unit
		c.wait(0, func() { <-ctx.Done() })
		if c.pick(2) == 0 {
			return c.unit(), nil
		}
		return Work{}, ctx.Err()
	}
	if ctx.Err() != nil {
		return Work{}, ctx.Err()
	}
	return c.unit(), nil
}

func (c *chaos) wait(deaf int, wait func()) {
	c.count(1, deaf)
	wait()
	c.count(-1, -deaf)
}

func (c *chaos) count(takes, deaf int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.takes += takes
	c.deafTakes += deaf
}

func (c *chaos) duration() time.Duration { return time.Duration(c.pick(int(20 * time.Second))) }

func (c *chaos) unit() Work {
	c.mu.Lock()
	defer c.mu.Unlock()
	u := &chaosUnit{}
	id := len(c.units) + 1
	c.units[id] = u
	return Work{
		ID: strconv.Itoa(id), Kind: "chaos",
		Run:    func(ctx context.Context) error { c.told(&u.runs); return c.misbehave(ctx) },
		Report: func(error) { c.told(&u.reports) },
	}
}

func (c *chaos) told(count *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*count++
}

func (c *chaos) misbehave(ctx context.Context) error {
	switch c.pick(8) {
	case 0:
		panic("work broke")
	case 1:
		runtime.Goexit()
	case 2, 3:
		return deaf(c.duration())(ctx)
	case 4:
		return errWork
	}
	return lasting(c.duration())(ctx)
}
