package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/worker"
)

// said collects what is told on a topic, as words.
type said struct {
	mu    sync.Mutex
	words []string
	over  bool
}

func listen[T any](t *testing.T, topic *event.Topic[T], say func(T) string) *said {
	h := &said{}
	messages, end := topic.Subscribe()
	t.Cleanup(end)
	go func() {
		for m := range messages {
			h.add(say(m.Payload))
		}
		h.mu.Lock()
		h.over = true
		h.mu.Unlock()
	}()
	return h
}

func (h *said) add(word string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.words = append(h.words, word)
}

// since returns what was told since the last time.
func (h *said) since() (words []string) {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	words, h.words = h.words, nil
	return words
}

func (h *said) isOver() bool {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over
}

func sayState(n StateNotice) string {
	s := fmt.Sprintf("%s %s by %s: %s", n.Moment, n.Change, n.By, n.Lifecycle)
	if n.Paused {
		s += ", paused"
	}
	if n.By == ByEvent {
		s += ", " + n.Event.Action
	}
	if n.Err != nil {
		s += ": " + n.Err.Error()
	}
	return s
}

func sayWork(n worker.Notice) string {
	return fmt.Sprint(n.Moment, " ", n.Worker.ID, " ", n.Worker.WorkID, " ", n.Worker.Description)
}

// life hears everything that a server tells.
type life struct{ state, workers, work, events, gaps *said }

func lifeOf(t *testing.T, s *Server) life {
	topics := s.Topics()
	return life{
		listen(t, topics.State, sayState), listen(t, topics.Workers, sayWork), listen(t, topics.Work, sayWork),
		listen(t, topics.Events, func(n event.Notice) string {
			return fmt.Sprint(n.Stage, " ", n.Event.Name, " ", n.Event.Action, " ", n.Kind)
		}),
		listen(t, topics.Gaps, func(n event.GapNotice) string { return n.Subscriber + " " + n.Reason }),
	}
}

// units is a source of what a test sends.
func units(ch <-chan worker.Work) worker.Source {
	return worker.SourceFunc(func(ctx context.Context, _ worker.Filter) (worker.Work, error) {
		select {
		case w := <-ch:
			return w, nil
		case <-ctx.Done():
			return worker.Work{}, ctx.Err()
		}
	})
}

// TestWholeLifeOnTopics: each moment once, in its order, and the last one before Run
// returns.
func TestWholeLifeOnTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(chan worker.Work)
		var cfg Config
		cfg.Pool.Workers = 1
		o := open(t, units(source), &fakeLedger{}, cfg)
		l := lifeOf(t, o.Server)
		o.start()
		require.Equal(t, []string{"requested start by program: starting", "applied start by program: running"}, l.state.since())
		require.Equal(t, []string{"worker started 1  "}, l.workers.since())

		source <- worker.Work{ID: "17", Kind: "import", Run: func(ctx context.Context) error {
			worker.Describe(ctx, "halfway")
			time.Sleep(5 * time.Second)
			return nil
		}}
		synctest.Wait()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		_, entry := o.ledger.now()
		require.Equal(t, "halfway", entry.Heartbeat.Workers[0].Description, "the registry shows it")
		require.Equal(t, []string{"work started 1 17 ", "work updated 1 17 halfway"}, l.work.since())

		o.act("pause")
		require.Equal(t, []string{"requested pause by event: running, pause", "applied pause by event: running, paused, pause"}, l.state.since())
		require.Equal(t, []string{"received server pause ", "dispatched server pause ", "handled server pause done", "answered server pause done"}, l.events.since())
		o.act("pause") // again: asked and so
		require.Equal(t, []string{"requested pause by event: running, paused, pause", "applied pause by event: running, paused, pause"}, l.state.since())
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"work finished 1 17 halfway"}, l.work.since())
		o.act("resume")
		l.state.since()
		l.events.since()

		source <- worker.Work{ID: "18", Run: func(context.Context) error { time.Sleep(time.Hour); return nil }} // ignores its end
		synctest.Wait()
		r := o.call("kill", bson.M{"wait_timeout": "1s"})
		require.Equal(t, event.Failed, r.Kind)
		var abandoned *worker.AbandonedError
		require.ErrorAs(t, o.ends(), &abandoned)
		require.Equal(t, []string{"requested kill by event: running, kill", "failed kill by event: stopped, kill: " + abandoned.Error()}, l.state.since())
		require.Equal(t, []string{"worker abandoned 1 18 "}, l.workers.since())
		require.Equal(t, []string{"work started 1 18 "}, l.work.since())
		require.Equal(t, []string{"received server kill ", "dispatched server kill ", "handled server kill failed", "answered server kill failed"}, l.events.since())
		require.Empty(t, l.gaps.since())
		for _, topic := range []*said{l.state, l.workers, l.work, l.events, l.gaps} {
			require.True(t, topic.isOver(), "closed when Run has returned")
		}
		time.Sleep(time.Hour)
	})
}

func TestStopOnTopics(t *testing.T) {
	for name, stop := range map[string]func(*one){
		"program": func(o *one) { o.Stop(time.Minute) },
		"context": func(o *one) { o.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := open(t, units(nil), &fakeLedger{}, Config{})
				l := lifeOf(t, o.Server)
				o.start()
				l.state.since()
				stop(o)
				require.NoError(t, o.ends())
				require.Equal(t, []string{"requested stop by program: running", "applied stop by program: stopped"}, l.state.since())
				o.Stop(0) // it is over
				require.Empty(t, l.state.since())
				require.Len(t, l.workers.since(), 20, "ten workers started, and stopped")
			})
		})
	}
}

// A kill counts, whatever stops come before and after it; both have one end.
func TestStopAndKillOnTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(chan worker.Work)
		o := open(t, units(source), &fakeLedger{}, Config{})
		l := lifeOf(t, o.Server)
		o.start()
		source <- worker.Work{Run: func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Second); return ctx.Err() }}
		l.state.since()
		o.Stop(0)
		o.Kill(time.Minute)
		o.Stop(0)
		require.ErrorIs(t, o.ends(), ErrKilled)
		require.Equal(t, []string{
			"requested stop by program: running", "requested kill by program: stopping",
			"requested stop by program: stopping", "applied kill by program: stopped",
		}, l.state.since())
	})
}

func TestServerThatNeverStartsOnTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Now()
		ledger := &fakeLedger{fail: func(what string) error {
			if what != "register" {
				return nil
			}
			at = at.Add(time.Second)
			return &NameTakenError{At: at}
		}}
		o := open(t, nil, ledger, Config{})
		l := lifeOf(t, o.Server)
		o.start()
		var taken *NameTakenError
		require.ErrorAs(t, o.ends(), &taken)
		require.Equal(t, []string{"requested start by program: starting", "failed start by program: running: " + taken.Error()}, l.state.since())

		away := open(t, nil, &fakeLedger{fail: func(string) error { return errAway }}, Config{})
		l = lifeOf(t, away.Server)
		away.start()
		synctest.Wait()
		away.stop()
		require.NoError(t, away.ends())
		require.Equal(t, []string{
			"requested start by program: starting", "failed start by program: running: " + errStoppedBefore.Error(),
			"requested stop by program: running", "applied stop by program: stopped",
		}, l.state.since())
		require.True(t, l.state.isOver())
	})
}

func TestHoldsGapsAndFailuresOnTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := errors.New("queue away")
		var cfg Config
		cfg.Hooks.Resume = func(context.Context) error { return fail }
		ledger := &fakeLedger{holds: []Hold{{ID: bson.NewObjectID(), At: time.Now().Add(time.Hour)}}}
		o := open(t, nil, ledger, cfg)
		l := lifeOf(t, o.Server)
		o.start()
		require.Equal(t, []string{
			"requested start by program: starting", "applied start by program: running",
			"requested pause by hold: running", "applied pause by hold: running, paused",
		}, l.state.since())

		require.Equal(t, event.Failed, o.call("resume", nil).Kind)
		require.Equal(t, []string{
			"requested resume by event: running, paused, resume",
			"failed resume by event: running, paused, resume: hook resume: queue away",
		}, l.state.since())
		require.Equal(t, event.Refused, o.call("resize", bson.M{"max_workers": 3}).Kind)
		require.Len(t, l.state.since(), 2)

		resume := false
		o.ledger.mu.Lock()
		o.ledger.noted = Desired{Paused: &resume}
		o.ledger.mu.Unlock()
		fail = nil
		(&serverSubscriber{control: (*control)(o.Server)}).Gap(t.Context(), event.Gap{})
		require.Equal(t, []string{"requested resume by gap: running, paused", "applied resume by gap: running"}, l.state.since())
		o.stop()
		require.NoError(t, o.ends())
	})
}

// TestLookerOnThatNeverReads holds up no event, no worker, no beat, and no end.
func TestLookerOnThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(chan worker.Work)
		var cfg Config
		cfg.Pool.Workers = 1
		o := open(t, units(source), &fakeLedger{}, cfg)
		topics := o.Topics()
		work, endWork := topics.Work.Subscribe()
		defer endWork()
		_, endWorkers := topics.Workers.Subscribe()
		defer endWorkers()
		_, endState := topics.State.Subscribe()
		defer endState()
		_, endEvents := topics.Events.Subscribe()
		defer endEvents()
		o.start()
		const many = 3000
		for range many {
			source <- worker.Work{Run: func(context.Context) error { return nil }}
		}
		for range 200 {
			o.act("pause")
			o.act("resume")
		}
		beats := func() int { o.ledger.mu.Lock(); defer o.ledger.mu.Unlock(); return o.ledger.beats }
		before := beats()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.GreaterOrEqual(t, beats()-before, 4)
		start := time.Now()
		o.stop()
		require.NoError(t, o.ends())
		require.Zero(t, time.Since(start))

		got, missed := 0, 0
		for m := range work {
			got++
			missed += m.Missed
		}
		require.Equal(t, 1+event.TopicBacklog, got)
		require.Equal(t, 2*many, got+missed, "started and finished of each")
	})
}

// The events that a gap has taken are told on the server's topics, too.
func TestGapOnTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := newServer(nil, &fakeLedger{}, Config{})
		require.NoError(t, err)
		log := eventtest.NewLog(4000)
		require.NoError(t, s.join(event.NewBus(log, eventtest.NewLog(0), s.cfg.Bus)))
		o := &one{Server: s, t: t, ledger: s.registry.(*fakeLedger), done: make(chan error, 1)}
		l := lifeOf(t, s)
		o.start()
		synctest.Wait()
		many := make([]event.Event, 100) // more than the log holds, at once
		for i := range many {
			many[i] = event.New("other", "record", bson.M{"pad": "................................"})
		}
		_, err = s.Bus().Publish(t.Context(), many...)
		require.NoError(t, err)
		require.Equal(t, []string{" the log rolled over"}, l.gaps.since())
		o.stop()
		require.NoError(t, o.ends())
	})
}
