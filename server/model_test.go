package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/worker"
)

// model is what a server should be, in the fewest words.
type model struct {
	stage  Lifecycle
	paused bool
	size   int
}

// expected is what an action should answer.
type expected struct {
	kind event.ReplyKind
	note string
}

// do is the whole of the protocol: what each action does in each state, and
// answers.
func (m *model) do(action string) expected {
	switch action {
	case "pause", "resume", "resize 3", "resize 1":
		if m.stage == Stopping {
			return expected{kind: event.Refused}
		}
	}
	switch action {
	case "pause":
		return m.set(true, "already paused")
	case "resume":
		already := m.set(false, "was not paused")
		if already.note == "" && m.stage == Quiet {
			already.note = "it is quiet: it takes no new work all the same"
		}
		return already
	case "quiet":
		if m.stage != Running {
			return expected{event.Done, "already " + string(m.stage)}
		}
		m.stage = Quiet
	case "resize 3":
		return m.resize(3)
	case "resize 1":
		return m.resize(1)
	case "stop", "kill":
		m.stage = Stopped
	}
	return expected{kind: event.Done}
}

func (m *model) set(paused bool, already string) expected {
	if m.paused == paused {
		return expected{event.Done, already}
	}
	m.paused = paused
	return expected{kind: event.Done}
}

func (m *model) resize(n int) expected {
	if m.size == n {
		return expected{event.Done, fmt.Sprintf("already %d", n)}
	}
	m.size = n
	return expected{kind: event.Done}
}

var actions = []string{"pause", "resume", "quiet", "resize 3", "resize 1", "refresh", "thread_dump", "stop", "kill"}

// perform does an action and holds the answer, the server, its pool and its
// entry against the model.
func (m *model) perform(t *testing.T, o *one, action string) {
	t.Helper()
	name, parameters := action, any(nil)
	var size int
	if n, _ := fmt.Sscanf(action, "resize %d", &size); n == 1 {
		name, parameters = "resize", map[string]int{"max_workers": size}
	}
	before := *m
	want := m.do(action)
	what := fmt.Sprintf("%s while %s, paused %t", action, before.stage, before.paused)
	reply := o.call(name, parameters)
	require.NotNil(t, reply, what)
	require.Equal(t, want.kind, reply.Kind, "%s: %s", what, reply.Error)
	if name != "thread_dump" {
		state := stateOf(t, *reply)
		require.Equal(t, want.note, state.Note, what)
		require.Equal(t, string(m.stage), state.Lifecycle, what)
		require.Equal(t, m.paused, state.Paused, what)
		require.Equal(t, m.size, state.MaxWorkers, what)
	}
	if want.kind == event.Refused {
		require.Equal(t, "the server is stopping: it takes no new work any more", reply.Error, what)
	}
	m.check(t, o, what)
}

func (m *model) check(t *testing.T, o *one, what string) {
	t.Helper()
	present, entry := o.ledger.now()
	if m.stage == Stopped {
		require.False(t, present, "%s: it has left before it answers", what)
		return
	}
	require.True(t, present, what)
	require.Equal(t, m.stage, entry.Lifecycle, what)
	require.Equal(t, m.paused, entry.Paused, what)
	require.Equal(t, m.paused, o.pool.Paused(), what)
	require.Equal(t, m.size, o.pool.Size(), what)
}

// lasting is work that goes on until it is cancelled.
var lasting = worker.SourceFunc(func(context.Context, worker.Filter) (worker.Work, error) {
	return worker.Work{ID: "1", Kind: "lasting", Run: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}, nil
})

// TestEveryActionInEveryState looks at all pairs.
func TestEveryActionInEveryState(t *testing.T) {
	for name, path := range map[string][]string{
		"running": nil, "paused": {"pause"}, "quiet": {"quiet"}, "quiet, paused": {"quiet", "pause"},
		"stopping": {"stopping"}, "stopping, paused": {"pause", "stopping"}, "stopping, quiet": {"quiet", "stopping"},
	} {
		for _, action := range actions {
			t.Run(name+"/"+action, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := run(t, lasting, Config{Pool: worker.Config{Workers: 2}})
					m := &model{stage: Running, size: 2}
					time.Sleep(2 * soonDelay) // the workers are at work
					for _, step := range path {
						if step == "stopping" {
							o.Stop(0) // for ever
							synctest.Wait()
							m.stage = Stopping
							continue
						}
						m.perform(t, o, step)
					}
					m.perform(t, o, action)
					o.Kill(0)
					err := o.ends()
					if m.stage != Stopped || action == "kill" {
						require.ErrorIs(t, err, ErrKilled)
					}
				})
			})
		}
	}
}

// TestRandomLives does random actions, while the registry now and then fails.
func TestRandomLives(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomLife(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func randomLife(t *testing.T, random *rand.Rand) {
	o := run(t, lasting, Config{Pool: worker.Config{Workers: 2}})
	m := &model{stage: Running, size: 2}
	for range 30 {
		if random.IntN(4) == 0 {
			failures := random.IntN(3)
			o.ledger.failWith(func(string) error {
				if failures--; failures >= 0 {
					return []error{errAway, errUnknownOutcome}[failures%2]
				}
				return nil
			})
		}
		if random.IntN(12) == 0 && m.stage != Stopping {
			o.Stop(0)
			synctest.Wait()
			m.stage = Stopping
			continue
		}
		action := actions[random.IntN(len(actions))]
		m.perform(t, o, action)
		time.Sleep(time.Duration(random.IntN(5)) * time.Second)
		if m.stage == Stopped {
			err := o.ends()
			require.True(t, err == nil || errors.Is(err, ErrKilled), err)
			return
		}
	}
	o.Kill(0)
	require.ErrorIs(t, o.ends(), ErrKilled)
}
