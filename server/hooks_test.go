package server

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/worker"
)

// jobs is another job system, as its hooks see it.
type jobs struct {
	mu     sync.Mutex
	called []string
	fail   error
	stop   func(ctx context.Context) error
}

func (j *jobs) call(name string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.called = append(j.called, name)
	return j.fail
}

func (j *jobs) hooks() Hooks {
	return Hooks{
		Pause:  func(context.Context) error { return j.call("pause") },
		Resume: func(context.Context) error { return j.call("resume") },
		Stop: func(ctx context.Context) error {
			_ = j.call("stop")
			if j.stop == nil {
				return nil
			}
			return j.stop(ctx)
		},
	}
}

func (j *jobs) calls() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.called)
}

func TestHooksFollowTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &jobs{}
		o := run(t, nil, Config{Hooks: j.hooks()})
		_, e := o.ledger.now()
		require.True(t, e.Consumer)
		for _, step := range []struct {
			action string
			note   string
			calls  []string // so far
		}{
			{"resume", "was not paused", nil},
			{"pause", "", []string{"pause"}},
			{"pause", "already paused", []string{"pause"}},
			{"resume", "", []string{"pause", "resume"}},
			{"pause", "", []string{"pause", "resume", "pause"}},
			{"quiet", "", []string{"pause", "resume", "pause"}}, // it takes no work as it is
			{"resume", "it is quiet: it takes no new work all the same", []string{"pause", "resume", "pause"}},
			{"quiet", "already quiet", []string{"pause", "resume", "pause"}},
			{"stop", "", []string{"pause", "resume", "pause", "stop"}},
		} {
			state, reply := o.act(step.action)
			require.Equal(t, event.Done, reply.Kind, reply.Error)
			require.Equal(t, step.note, state.Note, step.action)
			require.Equal(t, step.calls, j.calls(), step.action)
		}
		require.NoError(t, o.ends())
	})
}

func TestQuietCallsThePauseHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &jobs{}
		o := run(t, nil, Config{Hooks: j.hooks()})
		o.Quiet()
		o.Quiet()
		require.Equal(t, []string{"pause"}, j.calls())
		synctest.Wait()
		_, e := o.ledger.now()
		require.Equal(t, Quiet, e.Lifecycle)
		o.stop()
		require.NoError(t, o.ends())
	})
}

func TestHookThatFails(t *testing.T) {
	for name, hook := range map[string]func(context.Context) error{
		"error":  func(context.Context) error { return errors.New("the queue is away") },
		"panic":  func(context.Context) error { panic("the queue is away") },
		"goexit": func(context.Context) error { runtime.Goexit(); return nil },
		"late":   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		says := map[string]string{
			"error": "hook pause: the queue is away", "panic": "panic: the queue is away", "goexit": "Goexit",
			"late": "deadline exceeded",
		}[name]
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := run(t, none, Config{Hooks: Hooks{Pause: hook}})
				_, reply := o.act("pause")
				require.Equal(t, event.Failed, reply.Kind)
				require.Contains(t, reply.Error, says)
				require.False(t, o.pool.Paused(), "nothing has changed")
				_, e := o.ledger.now()
				require.False(t, e.Paused)
				_, reply = o.act("quiet")
				require.Equal(t, event.Failed, reply.Kind)
				require.Equal(t, Running, o.stage())

				o.hooks.Pause = func(context.Context) error { return nil }
				state, reply := o.act("pause")
				require.Equal(t, event.Done, reply.Kind, "it is called again")
				require.Empty(t, state.Note)
				o.stop()
				require.NoError(t, o.ends())
			})
		})
	}
}

func TestHangingHookIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		o := run(t, nil, Config{Hooks: Hooks{Pause: func(context.Context) error { <-release; return nil }}})
		require.Equal(t, hookTime+hookGrace, took(func() {
			_, reply := o.act("pause")
			require.Contains(t, reply.Error, "it goes on unattended")
		}))
		o.stop()
		require.NoError(t, o.ends())
		close(release)
	})
}

// none is a source without work.
var none = worker.SourceFunc(func(ctx context.Context, _ worker.Filter) (worker.Work, error) {
	<-ctx.Done()
	return worker.Work{}, ctx.Err()
})

// TestStopHookIsBounded looks at how long a stop and a kill wait for the hook.
func TestStopHookIsBounded(t *testing.T) {
	const minute = time.Minute
	obeys := func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	}
	for name, test := range map[string]struct {
		hook   func(ctx context.Context) error
		end    func(*one)
		after  time.Duration
		cause  error // of the hook's context
		says   string
		killed bool
	}{
		"done":        {func(context.Context) error { return nil }, func(o *one) { o.Stop(minute) }, 0, nil, "", false},
		"fails":       {func(context.Context) error { return errors.New("away") }, func(o *one) { o.Stop(minute) }, 0, nil, "hook stop: away", false},
		"panics":      {func(context.Context) error { panic("away") }, func(o *one) { o.Stop(minute) }, 0, nil, "panic: away", false},
		"time-out":    {obeys, func(o *one) { o.Stop(minute) }, minute, worker.ErrStopTimeout, "", false},
		"end of ctx":  {obeys, func(o *one) { o.stop() }, DefaultShutdownTimeout, worker.ErrStopTimeout, "", false},
		"hurried":     {obeys, func(o *one) { o.Stop(minute); o.Stop(2 * minute); o.Stop(time.Second) }, time.Second, worker.ErrStopTimeout, "", false},
		"no limit":    {func(context.Context) error { time.Sleep(time.Hour); return nil }, func(o *one) { o.Stop(0) }, time.Hour, nil, "", false},
		"kill":        {obeys, func(o *one) { o.Kill(minute) }, 0, worker.ErrKilled, "", true},
		"stop, kill":  {obeys, func(o *one) { o.Stop(0); time.Sleep(minute); o.Kill(minute) }, minute, worker.ErrKilled, "", true},
		"ignores it":  {nil, func(o *one) { o.Stop(minute) }, minute + hookGrace, worker.ErrStopTimeout, "it goes on unattended", false},
		"ignores all": {nil, func(o *one) { o.Kill(minute) }, minute, worker.ErrKilled, "it goes on unattended", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				if test.hook == nil {
					test.hook = func(context.Context) error { <-release; return nil }
				}
				var given context.Context
				o := run(t, none, Config{Hooks: Hooks{Stop: func(ctx context.Context) error { given = ctx; return test.hook(ctx) }}})
				present := false
				var err error
				require.Equal(t, test.after, took(func() {
					test.end(o)
					synctest.Wait()
					present, _ = o.ledger.now()
					err = o.ends()
				}))
				require.Equal(t, test.after > 0 && name != "stop, kill", present, "it leaves the registry when the hook has returned, and not before")
				still, _ := o.ledger.now()
				require.False(t, still)
				require.Equal(t, test.killed, errors.Is(err, ErrKilled))
				if test.says != "" {
					require.ErrorContains(t, err, test.says)
				} else if !test.killed {
					require.NoError(t, err)
				}
				if test.cause != nil {
					require.Equal(t, test.cause, context.Cause(given))
				}
			})
		})
	}
}

func TestStopHookFailureIsTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := run(t, nil, Config{Hooks: Hooks{Stop: func(context.Context) error { return errors.New("the queue is away") }}})
		state, reply := o.act("stop")
		require.Equal(t, event.Failed, reply.Kind)
		require.Equal(t, "hook stop: the queue is away", reply.Error)
		require.Equal(t, "stopped", state.Lifecycle)
		require.ErrorContains(t, o.ends(), "the queue is away")
	})
}

func TestStopWaitsForAHookUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		o := run(t, nil, Config{Hooks: Hooks{
			Pause: func(context.Context) error {
				time.Sleep(time.Second)
				order = append(order, "paused")
				return nil
			},
			Stop: func(context.Context) error { order = append(order, "stopped"); return nil },
		}})
		answered := make(chan *event.Reply, 1)
		go func() { answered <- o.call("pause", nil) }()
		synctest.Wait()
		o.Stop(time.Minute)
		require.NoError(t, o.ends())
		require.Equal(t, event.Done, (<-answered).Kind, "it began before the stop")
		require.Equal(t, []string{"paused", "stopped"}, order)
	})
}

func TestLogStacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, source := range []worker.Source{nil, none} {
			o := run(t, source, Config{Pool: worker.Config{Workers: 2}})
			lines := &lines{}
			o.LogStacks(lines.context(t))
			if source == nil {
				require.Contains(t, lines.String(), "TestLogStacks")
			} else {
				require.Contains(t, lines.String(), `"worker_id":2`)
				require.Contains(t, lines.String(), "server.init.func")
				require.NotContains(t, lines.String(), "TestLogStacks", "the workers alone")
			}
			o.stop()
			require.NoError(t, o.ends())
		}
	})
}

func TestPauseWhileTheStopHookRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := run(t, nil, Config{Hooks: Hooks{Stop: func(ctx context.Context) error { <-ctx.Done(); return nil }}})
		o.Stop(time.Minute)
		synctest.Wait()
		require.Zero(t, took(func() {
			_, reply := o.act("pause")
			require.Equal(t, event.Refused, reply.Kind)
			state, reply := o.act("quiet")
			require.Equal(t, event.Done, reply.Kind)
			require.Equal(t, "already stopping", state.Note)
		}), "nothing waits for the hook")
		require.NoError(t, o.ends())
	})
}
