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
	m.running = run(t, source, Config{Workers: m.size, StuckAfter: modelStuckAfter})
	m.check("start")
	for range 40 {
		m.check(m.step())
	}
	m.finish()
}

const modelStuckAfter = 8 * time.Second

// model is what a pool should be like.
type model struct {
	*running
	t      *testing.T
	random *rand.Rand
	source *chaos
	size   int
	most   int // how many may be live: those that are wanted, and those that have not left since it shrank

	paused, quiet, stopping bool

	resized time.Time    // when the last workers may have been added
	seen    map[int]bool // numbers of workers; false when they have gone
	last    int          // the highest of them
	all     sync.WaitGroup
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
	case n < 65:
		size := 1 + m.random.IntN(8)
		changed, err := m.Resize(size)
		require.NoError(m.t, err)
		require.Equal(m.t, size != m.size && !m.stopping, changed)
		if changed {
			m.size, m.resized = size, time.Now()
		}
		return fmt.Sprint("resize to ", size)
	case n < 78:
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
	live, staying := 0, 0
	for _, w := range workers {
		m.checkWorker(step, w)
		if w.State != Abandoned {
			live++
		}
		if w.State != Abandoned && w.State != Stopping && (w.WorkID == "" || m.source.stoppable(w.WorkID)) {
			staying++
		}
	}
	for id := range m.seen {
		m.seen[id] = slices.ContainsFunc(workers, func(w Status) bool { return w.ID == id })
		require.Equal(m.t, m.seen[id], m.HasWorker(id))
	}
	require.Equal(m.t, m.size, m.Size(), step)
	m.most = max(m.size, min(m.most, live))
	require.LessOrEqual(m.t, live, m.most, step)
	if !m.stopping {
		require.GreaterOrEqual(m.t, live, m.size, step)
		require.LessOrEqual(m.t, staying, m.size, "%s: whoever can leave does", step)
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
	if time.Since(m.resized) < startSpread && !m.paused { // a later step may follow that soon
		allowed = append(allowed, Starting)
	}
	require.Contains(m.t, allowed, w.State, "%s: %+v", step, w)
	require.Equal(m.t, w.WorkID != "", !w.BusySince.IsZero())
	require.Equal(m.t, w.State == Abandoned, w.Stack != "")
	switch w.State {
	case Busy:
		require.NotEmpty(m.t, w.WorkID)
	case Idle, Starting:
		require.Empty(m.t, w.WorkID)
	case Paused:
		require.True(m.t, w.WorkID == "" || m.source.stoppable(w.WorkID), "%s: %+v", step, w)
	}
	late := !w.BusySince.IsZero() && time.Since(w.BusySince) >= modelStuckAfter
	if w.Stuck {
		require.True(m.t, late, "%s: %+v", step, w)
	} else if w.State == Busy || w.State == Stopping {
		require.False(m.t, late, "%s: %+v", step, w)
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
		m.checkHooks(step, u)
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

// checkHooks compares what a running unit was told with what is asked.
func (m *model) checkHooks(step string, u *chaosUnit) {
	m.t.Helper()
	if !u.hooked || u.runs == u.reports || u.ended || u.inHook {
		return
	}
	require.Equal(m.t, m.stopping, u.stopped && m.stopping, "%s: unit %+v", step, *u)
	if !u.stopped {
		require.Equal(m.t, m.paused || m.quiet, u.held, "%s: unit %+v", step, *u)
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
		require.Empty(m.t, u.fault, "unit %d", id)
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

type chaosUnit struct {
	runs, reports int
	hooked        bool
	ended         bool // its context has
	held, stopped bool // as its hooks were told
	inHook        bool
	fault         string
}

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
	u := &chaosUnit{hooked: c.random.IntN(2) == 0}
	id := len(c.units) + 1
	c.units[id] = u
	unit := Work{
		ID: strconv.Itoa(id), Kind: "chaos",
		Run:    func(ctx context.Context) error { c.told(&u.runs); return c.misbehave(ctx) },
		Report: func(error) { c.told(&u.reports) },
	}
	if u.hooked {
		c.hook(u, &unit)
	}
	return unit
}

// hook gives a unit hooks that misbehave too. The one that is told to stop
// obeys, if it is not deaf.
func (c *chaos) hook(u *chaosUnit, unit *Work) {
	stop := make(chan struct{})
	run := unit.Run
	unit.Run = func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(ctx, func() { c.set(&u.ended, true) })()
		go func() {
			select {
			case <-stop:
				cancel()
			case <-ctx.Done():
			}
		}()
		return run(ctx)
	}
	unit.Hooks = Hooks{
		Pause:  func(ctx context.Context) error { return c.inHook(ctx, u, func() { u.tell(&u.held, true) }) },
		Resume: func(ctx context.Context) error { return c.inHook(ctx, u, func() { u.tell(&u.held, false) }) },
		Stop: func(ctx context.Context) error {
			close(stop)
			return c.inHook(ctx, u, func() { u.tell(&u.stopped, true) })
		},
	}
}

// tell notes what a hook was told, which must be news.
func (u *chaosUnit) tell(what *bool, value bool) {
	if *what == value || u.stopped || u.inHook || u.reports > 0 {
		u.fault = fmt.Sprintf("told %v: %+v", value, *u)
	}
	*what = value
}

func (c *chaos) inHook(ctx context.Context, u *chaosUnit, note func()) error {
	c.mu.Lock()
	note()
	u.inHook = true
	c.mu.Unlock()
	defer c.set(&u.inHook, false)
	switch c.pick(6) {
	case 0:
		panic("hook broke")
	case 1:
		runtime.Goexit()
	case 2:
		return errWork
	case 3:
		return lasting(c.duration())(ctx)
	}
	return nil
}

func (c *chaos) set(what *bool, value bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*what = value
}

// stoppable reports whether a unit has hooks.
func (c *chaos) stoppable(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, _ := strconv.Atoi(id)
	return c.units[n].hooked
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
