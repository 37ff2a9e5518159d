package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// told is work whose hooks note that they were called; Stop ends it.
type told struct {
	mu    sync.Mutex
	calls []string
	end   chan struct{}
}

func newTold() *told { return &told{end: make(chan struct{})} }

func (o *told) note(call string) func(context.Context) error {
	return func(context.Context) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.calls = append(o.calls, call)
		if call == "stop" {
			close(o.end)
		}
		return nil
	}
}

func (o *told) unit() Work {
	return Work{ID: "1", Kind: "service",
		Run: func(ctx context.Context) error {
			select {
			case <-o.end:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		},
		Hooks: Hooks{Pause: o.note("pause"), Resume: o.note("resume"), Stop: o.note("stop")},
	}
}

// since returns the calls since it was asked last.
func (o *told) since() []string {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	calls := o.calls
	o.calls = nil
	return calls
}

func TestHooks(t *testing.T) {
	for name, test := range map[string]struct {
		end    func(*running)
		called []string
	}{
		"stop":        {func(r *running) { r.Stop(time.Minute) }, []string{"stop"}},
		"stop worker": {func(r *running) { require.NoError(r.t, r.StopWorker(r.t.Context(), 1)) }, []string{"stop"}},
		"kill":        {func(r *running) { r.Kill(time.Minute) }, nil},
		"kill worker": {func(r *running) { _, _ = r.KillWorker(r.t.Context(), 1, time.Minute) }, nil},
		"quiet and stop": {func(r *running) { r.Quiet(); synctest.Wait(); r.Resume(); synctest.Wait(); r.Stop(0) },
			[]string{"pause", "stop"}},
		"stop while paused": {func(r *running) { r.Pause(); synctest.Wait(); r.Stop(0) }, []string{"pause", "stop"}},
		"stop twice":        {func(r *running) { r.Stop(0); synctest.Wait(); r.Stop(0) }, []string{"stop"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, work := make(feed), newTold()
				r := run(t, source, Config{Workers: 1})
				source <- work.unit()
				require.Empty(t, work.since())
				r.requireStates(map[int]State{1: Busy})

				r.Pause()
				require.Equal(t, []string{"pause"}, work.since())
				r.requireStates(map[int]State{1: Paused})
				require.Equal(t, "1", r.Workers()[0].WorkID)
				r.Resume()
				require.Equal(t, []string{"resume"}, work.since())
				r.requireStates(map[int]State{1: Busy})

				test.end(r)
				require.Equal(t, test.called, work.since())
				require.False(t, r.HasWorker(1))
				r.Stop(0)
				require.NoError(t, r.result())
			})
		})
	}
}

// Shrinking stops what would not end by itself.
func TestShrinkStopsWorkWithHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 3})
		for range 3 {
			source <- newTold().unit()
		}
		synctest.Wait()
		r.resize(1)
		r.requireStates(map[int]State{1: Busy})
		require.NoError(t, r.ended())
	})
}

// A unit that a Take hands over in a paused or stopping pool is told at once.
func TestHooksOfLateUnit(t *testing.T) {
	for name, test := range map[string]struct {
		ask  func(*Pool)
		want []string
	}{
		"paused":  {func(p *Pool) { p.Pause() }, []string{"pause"}},
		"stopped": {func(p *Pool) { p.Stop(time.Hour) }, []string{"stop"}},
		"killed":  {func(p *Pool) { p.Kill(time.Hour) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				work := newTold()
				source := SourceFunc(func(ctx context.Context, _ Filter) (Work, error) {
					<-ctx.Done()
					time.Sleep(time.Second)
					return work.unit(), nil
				})
				r := run(t, source, Config{Workers: 1})
				test.ask(r.Pool)
				time.Sleep(2 * time.Second)
				require.Equal(t, test.want, work.since())
				if name == "paused" {
					r.Stop(0)
				}
				require.NoError(t, r.result())
			})
		})
	}
}

// What is taken back before a slow hook has returned is not told.
func TestHooksAreCalledOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, work := make(feed), newTold()
		r := run(t, source, Config{Workers: 1})
		unit := work.unit()
		pause := unit.Hooks.Pause
		unit.Hooks.Pause = func(ctx context.Context) error { time.Sleep(time.Minute); return pause(ctx) }
		source <- unit
		r.Pause()
		synctest.Wait()
		r.Resume()
		r.Pause()
		require.Empty(t, work.since())
		time.Sleep(time.Minute)
		require.Equal(t, []string{"pause"}, work.since())
		r.Stop(0)
		require.Equal(t, []string{"stop"}, work.since())
		require.NoError(t, r.result())
	})
}

func TestHooksThatFail(t *testing.T) {
	var out bytes.Buffer
	for name, fail := range map[string]func(context.Context) error{
		"error":  func(context.Context) error { return errWork },
		"panic":  func(context.Context) error { panic("boom") },
		"goexit": func(context.Context) error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out.Reset()
				source, work := make(feed), newTold()
				pool, err := New(source, Config{Workers: 1})
				require.NoError(t, err)
				r := &running{Pool: pool, t: t, done: make(chan error, 1)}
				go func() { r.done <- pool.Run(zerolog.New(&out).WithContext(t.Context())) }()
				unit := work.unit()
				unit.Hooks.Pause = fail
				unit.Hooks.Dump = func(ctx context.Context) (string, error) { return "", fail(ctx) }
				source <- unit
				synctest.Wait()
				r.Pause()
				synctest.Wait()
				r.Resume()
				require.Equal(t, []string{"resume"}, work.since())
				stacks, err := r.Stacks()
				require.ErrorContains(t, err, "no dump of worker 1: ")
				require.Contains(t, stacks[0].Text, "worker 1, busy with service 1: no dump: ")
				require.Equal(t, name != "error", strings.Contains(stacks[0].Text, "goroutine [select]:"), "its goroutines if it is broken")
				r.requireStates(map[int]State{1: Busy})
				require.NoError(t, r.ended())
				if name != "goexit" {
					require.Contains(t, out.String(), `"hook":"pause"`)
				}
			})
		})
	}
}

// A hook that hangs harms its own unit alone, which is abandoned like any that
// does not end.
func TestHookThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 2})
		var reported outcomes
		source <- Work{ID: "1", Run: lasting(time.Hour), Report: reported.report, Hooks: Hooks{Pause: deaf(24 * time.Hour)}}
		r.Pause()
		r.Resume()
		synctest.Wait()
		source <- unit(2, lasting(time.Minute)) // the other one works
		r.requireCount(2, Busy)
		r.Pause()
		time.Sleep(time.Minute)
		r.Resume()
		r.Stop(time.Second)
		require.ErrorAs(t, r.result(), new(*AbandonedError))
		require.Contains(t, r.Workers()[0].Stack, "release")
		require.Zero(t, reported.count.Load())
		time.Sleep(24 * time.Hour)
		require.ErrorIs(t, reported.once(t), ErrStopTimeout)
	})
}

func TestDump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 3})
		for i := range 2 {
			source <- Work{ID: fmt.Sprint(i), Kind: "service", Run: lasting(time.Hour), Hooks: Hooks{
				Dump: func(ctx context.Context) (string, error) {
					time.Sleep(time.Second)
					id, _ := ID(ctx)
					return fmt.Sprintf("thread main of worker %d\n", id), nil
				},
			}}
			synctest.Wait()
		}
		begun := time.Now()
		stacks, err := r.Stacks()
		require.NoError(t, err)
		require.Equal(t, time.Second, time.Since(begun), "all at once")
		own := 0
		for _, s := range stacks {
			if s.Worker.WorkID == "" {
				require.Contains(t, s.Text, "goroutine")
				continue
			}
			own++
			require.Equal(t, fmt.Sprintf("worker %d, busy with service %s:\n\nthread main of worker %d\n",
				s.Worker.ID, s.Worker.WorkID, s.Worker.ID), s.Text)
		}
		require.Equal(t, 2, own)
		r.Kill(time.Second)
		require.NoError(t, r.result())
	})
}

func TestDumpErrorsAreJoined(t *testing.T) {
	stacks := []Stack{{Worker: Status{ID: 1}}, {Worker: Status{ID: 2}}, {Worker: Status{ID: 3}}, {Worker: Status{ID: 4}}}
	require.NoError(t, joinDumpErrors(stacks, make([]error, 4)))
	err := joinDumpErrors(stacks, []error{errWork, nil, errSource, errors.New(errWork.Error())})
	require.EqualError(t, err, "no dump of worker 1, 4: disk full\nno dump of worker 3: source is away")
	require.ErrorIs(t, err, errSource)
}

func TestDumpThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 1})
		source <- Work{Run: lasting(time.Minute), Hooks: Hooks{
			Dump: func(context.Context) (string, error) { time.Sleep(30 * time.Second); return "late", nil },
		}}
		synctest.Wait()
		begun := time.Now()
		stacks, err := r.Stacks(1)
		require.ErrorContains(t, err, "did not answer within 5s")
		require.Equal(t, dumpTime+leastWait, time.Since(begun))
		require.Contains(t, stacks[0].Text, "goroutine")
		time.Sleep(time.Minute)
		require.NoError(t, r.ended())
	})
}

// Who is abandoned in time is not asked first for a dump.
func TestAbandonedWithoutDump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 1})
		source <- Work{Run: deaf(time.Hour), Hooks: Hooks{
			Dump: func(context.Context) (string, error) { time.Sleep(3 * time.Second); return "", nil },
		}}
		synctest.Wait()
		begun := time.Now()
		status, err := r.KillWorker(t.Context(), 1, time.Second)
		require.NoError(t, err)
		require.Equal(t, time.Second, time.Since(begun))
		require.Contains(t, status.Stack, "deaf")
		time.Sleep(time.Hour)
		require.NoError(t, r.ended())
	})
}
