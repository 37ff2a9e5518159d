package worker

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

var errWork = errors.New("disk full")

// Whatever a unit does, it is reported once and its worker goes on.
func TestOutcomes(t *testing.T) {
	for name, test := range map[string]struct {
		run   func(context.Context) error
		check func(*testing.T, error)
	}{
		"success": {deaf(0), func(t *testing.T, err error) { require.NoError(t, err) }},
		"failure": {func(context.Context) error { return errWork },
			func(t *testing.T, err error) { require.Equal(t, errWork, err) }},
		"panic": {func(context.Context) error { panic("boom") }, func(t *testing.T, err error) {
			var panicked *PanicError
			require.ErrorAs(t, err, &panicked)
			require.Equal(t, "boom", panicked.Value)
			require.Contains(t, panicked.Stack, "TestOutcomes")
			require.EqualError(t, err, "panic: boom")
		}},
		"panic with an error": {func(context.Context) error { panic(errWork) },
			func(t *testing.T, err error) { require.ErrorIs(t, err, errWork) }},
		"panic with nil": {func(context.Context) error { panic(nil) },
			func(t *testing.T, err error) { require.ErrorAs(t, err, new(*PanicError)) }},
		"runtime panic": {func(context.Context) error { return (*running)(nil).result() },
			func(t *testing.T, err error) { require.ErrorAs(t, err, new(runtime.Error)) }},
		"goexit": {func(context.Context) error { runtime.Goexit(); return nil },
			func(t *testing.T, err error) { require.Equal(t, ErrGoexit, err) }},
		"no run": {nil, func(t *testing.T, err error) { require.Equal(t, ErrNoRun, err) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := make(feed)
				r := run(t, source, Config{Workers: 1})
				for range 3 { // the worker survives
					var told outcomes
					source <- Work{ID: "1", Run: test.run, Report: told.report}
					r.requireStates(map[int]State{1: Idle})
					test.check(t, told.once(t))
					require.Equal(t, []Status{{ID: 1, State: Idle}}, r.Workers())
				}
				require.NoError(t, r.ended())
			})
		})
	}
}

func TestReportThatFails(t *testing.T) {
	for name, report := range map[string]func(error){
		"panic":  func(error) { panic("database away") },
		"goexit": func(error) { runtime.Goexit() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := make(feed)
				r := run(t, source, Config{Workers: 1})
				for _, do := range []func(context.Context) error{
					deaf(0), func(context.Context) error { panic(1) }, func(context.Context) error { runtime.Goexit(); return nil },
				} {
					source <- Work{Run: do, Report: report}
					r.requireStates(map[int]State{1: Idle})
				}
				require.NoError(t, r.ended())
			})
		})
	}
}

func TestBusyWhileReporting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 1})
		source <- Work{ID: "1", Run: deaf(0), Report: func(error) { time.Sleep(time.Second) }}
		r.requireStates(map[int]State{1: Busy})
		time.Sleep(time.Second)
		r.requireStates(map[int]State{1: Idle})
		require.NoError(t, r.ended())
	})
}

// A source that ends the goroutine is asked again, later and later.
func TestGoexitInTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []time.Time
		source := SourceFunc(func(context.Context, Filter) (Work, error) {
			asked = append(asked, time.Now())
			runtime.Goexit()
			return Work{}, nil
		})
		r := run(t, source, Config{Workers: 1})
		time.Sleep(10 * time.Minute)
		r.requireStates(map[int]State{1: Idle})
		requireBackoff(t, asked)
		r.Pause()
		r.requireStates(map[int]State{1: Paused})
		require.NoError(t, r.ended())
	})
}

func TestContextOfWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var out bytes.Buffer
		ctx := zerolog.New(&out).WithContext(context.WithValue(t.Context(), key{}, "value"))
		source := make(feed)
		pool, err := New(source, Config{Workers: 1})
		require.NoError(t, err)
		go func() { _ = pool.Run(ctx) }()

		var after atomic.Pointer[context.Context]
		source <- Work{ID: "17", Kind: "import", Run: func(ctx context.Context) error {
			require.NoError(t, ctx.Err())
			require.Equal(t, "value", ctx.Value(key{}))
			zerolog.Ctx(ctx).Info().Msg("hello")
			after.Store(&ctx)
			return errWork
		}}
		synctest.Wait()
		require.Error(t, (*after.Load()).Err(), "the unit's context has ended with it")
		require.Equal(t, `{"level":"debug","worker_id":1,"kind":"import","work_id":"17","message":"work started"}
{"level":"info","worker_id":1,"kind":"import","work_id":"17","message":"hello"}
{"level":"error","worker_id":1,"kind":"import","work_id":"17","error":"disk full","duration_ms":0,"message":"work failed"}
`, out.String())

		out.Reset()
		source <- Work{ID: "18", Kind: "import", Run: func(context.Context) error { panic("boom") }}
		synctest.Wait()
		require.Contains(t, out.String(), `"error":"panic: boom"`)
		require.Contains(t, out.String(), `"stack":"goroutine `)
		pool.Kill(0)
	})
}

// What ends a Take may not hide that the source is broken.
func TestLogOfPanicInInterruptedTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		source := SourceFunc(func(ctx context.Context, _ Filter) (Work, error) { <-ctx.Done(); panic("boom") })
		pool, err := New(source, Config{Workers: 1})
		require.NoError(t, err)
		go func() { _ = pool.Run(zerolog.New(&out).WithContext(t.Context())) }()
		synctest.Wait()
		pool.Pause()
		synctest.Wait()
		require.Contains(t, out.String(), `"error":"panic: boom"`)
		pool.Kill(0)
	})
}

// An interrupted Take that calls it no work is asked again at once.
func TestNoWorkBecauseOfPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		source := SourceFunc(func(ctx context.Context, _ Filter) (Work, error) {
			asked.Add(1)
			<-ctx.Done()
			return Work{}, ErrNoWork
		})
		r := run(t, source, Config{Workers: 1})
		r.Pause()
		synctest.Wait()
		r.Resume()
		synctest.Wait()
		require.EqualValues(t, 2, asked.Load())
		require.NoError(t, r.ended())
	})
}

func TestLogOfSourceFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		source := SourceFunc(func(context.Context, Filter) (Work, error) { return Work{}, errSource })
		pool, err := New(source, Config{Workers: 1})
		require.NoError(t, err)
		go func() { _ = pool.Run(zerolog.New(&out).WithContext(t.Context())) }()
		synctest.Wait()
		pool.Kill(0)
		synctest.Wait()
		require.Regexp(t, `^{"level":"error","worker_id":1,"error":"source is away","retry_in_ms":[0-9.]+,"message":"cannot take work"}\n$`, out.String())
	})
}
