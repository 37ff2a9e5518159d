package server

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/worker"
)

// What the logger refuses is not noted.
func TestRefusedLevelIsNotNoted(t *testing.T) {
	set, err := (&Registry{}).desiredLevel(t.Context(), event.New("logger", "set", bson.M{"level": "default", "for": "1h"}))
	require.NoError(t, err)
	require.Nil(t, set)
}

// A desired level that cannot be applied does not keep a server from its events.
func TestUnknownDesiredLevelHoldsUpNothing(t *testing.T) {
	for name, bad := range map[string]DesiredLevel{
		"of a later version":  {Level: "verbose"},
		"default for a while": {Passing: "default", Until: time.Now().Add(24 * 365 * 100 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				levels, err := logging.New("info")
				require.NoError(t, err)
				o := run(t, none, Config{Logger: levels})
				o.ledger.note("event", bad)
				o.ledger.note("worker", DesiredLevel{Level: "warn"})
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				start := time.Now()
				(&loggerSubscriber{server: o.Server}).Gap(ctx, event.Gap{Reason: "test"})
				require.Less(t, time.Since(start), time.Minute, "the subscriber was held up")
				require.Equal(t, "warn", levels.List()[3].Level)
				o.stop()
				require.NoError(t, o.ends())
			})
		})
	}
}

// gapLog is a log of which documents can be lost.
type gapLog struct {
	*eventtest.Log
	reader event.Reader
}

func (g *gapLog) Read(ctx context.Context, from event.Position, r event.Reader) error {
	g.reader = r
	return g.Log.Read(ctx, from, r)
}

// gap tells the server of a gap, and waits until there is nothing more to do.
func (g *gapLog) gap() {
	g.reader.Gap(event.Gap{Reason: "test"})
	synctest.Wait()
}

// slowLedger reads the desired state, and keeps it for itself until told.
type slowLedger struct {
	*fakeLedger
	tell chan struct{}
}

func (s *slowLedger) desired(ctx context.Context, id bson.ObjectID) (Desired, error) {
	d, err := s.fakeLedger.desired(ctx, id)
	d.LogLevels = maps.Clone(d.LogLevels)
	if s.tell != nil {
		<-s.tell
	}
	return d, err
}

// runWithGaps is run with a log of its own, and a ledger that can be slow.
func runWithGaps(t *testing.T, source worker.Source, ledger *slowLedger, cfg Config) (*one, *gapLog) {
	t.Helper()
	log := &gapLog{Log: eventtest.NewLog(0)}
	cfg.Bus.Identity.Name = "a"
	ledger.fakeLedger = &fakeLedger{}
	s, err := newServer(source, ledger, cfg)
	require.NoError(t, err)
	s.cfg.Bus.Directory = ledger.fakeLedger
	require.NoError(t, s.join(event.NewBus(log, eventtest.NewLog(0), s.cfg.Bus)))
	o := &one{Server: s, t: t, ledger: ledger.fakeLedger, done: make(chan error, 1)}
	o.start()
	synctest.Wait()
	return o, log
}

func infoLevels(t *testing.T) *logging.Levels {
	levels, err := logging.New("info")
	require.NoError(t, err)
	return levels
}

// TestLevelThatWasMissedLastsAsLong: the same level as before, for another time.
func TestLevelThatWasMissedLastsAsLong(t *testing.T) {
	for _, missed := range []time.Duration{time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			levels := infoLevels(t)
			o, log := runWithGaps(t, none, &slowLedger{}, Config{Logger: levels})
			_, err := levels.Set("event", "debug", time.Minute) // heard
			require.NoError(t, err)
			o.ledger.note("event", DesiredLevel{Passing: "debug", Until: o.Bus().StoreTime().Add(missed)})
			log.gap()
			require.InDelta(t, missed, levels.List()[1].Left, float64(time.Millisecond))
			o.stop()
			require.NoError(t, o.ends())
		})
	}
}

// TestLevelsComeBackThoughAHookFails: the one desired state does not wait for the
// other.
func TestLevelsComeBackThoughAHookFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		levels := infoLevels(t)
		fails := func(context.Context) error { return errors.New("no") }
		o, log := runWithGaps(t, none, &slowLedger{}, Config{Logger: levels, Hooks: Hooks{Pause: fails}})
		o.ledger.noted.Paused = new(true)
		o.ledger.note(allComponents, DesiredLevel{Level: "debug"})
		log.gap()
		require.Equal(t, "debug", levels.List()[0].Level)
		o.stop()
		require.NoError(t, o.ends())
	})
}

// TestEventAfterAGapCounts: a level that was read after the gap does not undo that
// of an event which was published since.
func TestEventAfterAGapCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		levels := infoLevels(t)
		ledger := &slowLedger{tell: make(chan struct{})}
		o, log := runWithGaps(t, none, ledger, Config{Logger: levels})
		o.ledger.note(allComponents, DesiredLevel{Level: "error"})
		log.gap()
		_, err := o.Bus().Publish(t.Context(), event.New("logger", "set", bson.M{"level": "debug"}))
		require.NoError(t, err)
		synctest.Wait()
		close(ledger.tell)
		synctest.Wait()
		require.Equal(t, "debug", levels.List()[0].Level)
		o.stop()
		require.NoError(t, o.ends())
	})
}

// TestLinesBelongToTheirComponents: those of the bus can be silenced, and those of
// the server stay.
func TestLinesBelongToTheirComponents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		levels, out := infoLevels(t), &lines{}
		o := open(t, none, &fakeLedger{}, Config{Logger: levels})
		done := make(chan error, 1)
		go func() { done <- o.Run(out.context(t)) }()
		synctest.Wait()
		_, err := levels.Set("event", "error", 0)
		require.NoError(t, err)
		o.act("pause")
		all := strings.Split(out.String(), "\n")
		at := slices.IndexFunc(all, func(line string) bool { return strings.Contains(line, `"server paused"`) })
		require.GreaterOrEqual(t, at, 0, out)
		for _, field := range []string{`"component":"server"`, `"server":"a"`, `"server_id":"`, `"event_id":"`, `"action":"pause"`} {
			require.Equal(t, 1, strings.Count(all[at], field), "%s in %s", field, all[at])
		}
		require.NotContains(t, all[at], `"component":"event"`)
		o.Stop(0)
		require.NoError(t, <-done)
	})
}

// TestAServerWithoutWorkers has no component that never logs.
func TestAServerWithoutWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		levels := infoLevels(t)
		o := run(t, nil, Config{Logger: levels})
		var names []string
		for _, c := range levels.List() {
			names = append(names, c.Name)
		}
		require.Equal(t, []string{"", "event", "server"}, names)
		o.stop()
		require.NoError(t, o.ends())
	})
}
