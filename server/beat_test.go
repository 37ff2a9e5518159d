package server

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/subscribers"
	"github.com/fleetcast/fleetcast/worker"
)

func always(err error) func(string) error { return func(string) error { return err } }

func TestRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := run(t, none, Config{})
		require.ErrorIs(t, o.Run(t.Context()), event.ErrRunning)
		o.stop()
		require.NoError(t, o.ends())
		require.ErrorIs(t, o.Run(t.Context()), event.ErrRunning)
	})
}

// TestAnswerWaitsForTheRegistry: what an answer says, the registry shows; an
// absent registry does not hold the answer up for long.
func TestAnswerWaitsForTheRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := run(t, none, Config{})
		o.act("pause")
		_, e := o.ledger.now()
		require.True(t, e.Paused)

		o.ledger.failWith(always(errAway))
		require.Equal(t, showTime, took(func() { o.act("resume") }))
		_, e = o.ledger.now()
		require.True(t, e.Paused)
		o.ledger.failWith(nil)
		time.Sleep(retryMost)
		_, e = o.ledger.now()
		require.False(t, e.Paused, "it is shown as soon as it can be")

		failures := 1
		o.ledger.failWith(func(string) error {
			if failures--; failures >= 0 {
				return errAway
			}
			return nil
		})
		require.LessOrEqual(t, took(func() { o.act("quiet") }), soonDelay)
		_, e = o.ledger.now()
		require.Equal(t, Quiet, e.Lifecycle)
		o.stop()
		require.NoError(t, o.ends())
	})
}

// TestBeat looks at the regular beats, and what they tell.
func TestBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := run(t, lasting, Config{Heartbeat: time.Minute, Pool: worker.Config{Workers: 1, StuckAfter: time.Hour}})
		time.Sleep(2 * soonDelay)
		o.ledger.mu.Lock()
		before := o.ledger.beats
		o.ledger.mu.Unlock()
		time.Sleep(30 * time.Minute)
		o.ledger.mu.Lock()
		require.Equal(t, before+30, o.ledger.beats)
		require.True(t, o.ledger.entry.Consumer)
		require.EqualValues(t, 60_000, o.ledger.entry.Heartbeat.IntervalMS)
		require.False(t, o.ledger.entry.Heartbeat.Workers[0].Stuck)
		o.ledger.mu.Unlock()
		time.Sleep(time.Hour)
		_, e := o.ledger.now()
		require.True(t, e.Heartbeat.Workers[0].Stuck)
		o.Stop(time.Second)
		require.NoError(t, o.ends())
	})
}

func TestLostAfterFourBeats(t *testing.T) {
	for _, test := range []struct{ interval, after time.Duration }{
		{0, LostAfter}, {DefaultHeartbeat, LostAfter}, {time.Minute, 4 * time.Minute}, {time.Second, 4 * time.Second},
		{50 * time.Millisecond, beatTimeout},
	} {
		e := Entry{Age: test.after, Heartbeat: Heartbeat{IntervalMS: test.interval.Milliseconds()}}
		require.False(t, e.Lost(), test.interval)
		e.Age++
		require.True(t, e.Lost(), test.interval)
	}
}

// TestLeavingTheRegistry looks at how long a server tries to leave.
func TestLeavingTheRegistry(t *testing.T) {
	for name, test := range map[string]struct {
		away    time.Duration // how long the registry is away from the stop on
		before  time.Duration // and how long before
		kill    bool
		hurry   time.Duration // when the second signal comes
		takes   time.Duration // at most
		present bool          // in the end
	}{
		"at once":                {takes: 0},
		"fail-over":              {away: 10 * time.Second, takes: 12 * time.Second},
		"outage":                 {away: time.Hour, takes: leavePatience + 2*time.Second, present: true},
		"old outage":             {away: time.Hour, before: time.Minute, takes: leaveBriefly, present: true},
		"second signal":          {away: time.Hour, hurry: 5 * time.Second, takes: 5 * time.Second, present: true},
		"kill":                   {kill: true, takes: 0},
		"kill in a short outage": {away: 2 * time.Second, kill: true, takes: 4 * time.Second},
		"kill in a long outage":  {away: time.Hour, kill: true, takes: killedPatience + 2*time.Second, present: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := run(t, none, Config{})
				if test.away > 0 {
					o.ledger.failWith(always(errAway))
					time.Sleep(test.before)
					back := time.AfterFunc(test.away, func() { o.ledger.failWith(nil) })
					defer back.Stop()
				}
				if test.hurry > 0 {
					time.AfterFunc(test.hurry, func() { o.Kill(0) })
				}
				require.LessOrEqual(t, took(func() {
					if test.kill {
						o.Kill(0)
					} else {
						o.stop()
					}
					err := o.ends()
					require.Equal(t, test.kill || test.hurry > 0, errors.Is(err, ErrKilled))
				}), test.takes)
				present, _ := o.ledger.now()
				require.Equal(t, test.present, present)
			})
		})
	}
}

// TestAnswerToStopInAnOutage: what waits for the end hears of it although the
// registry cannot be left.
func TestAnswerToStopInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := run(t, none, Config{})
		_, expected := o.ledger.now()
		o.ledger.failWith(always(errAway))
		require.Equal(t, showTime, took(func() {
			reply := o.call("stop", nil)
			require.Equal(t, event.Done, reply.Kind)
		}))
		o.ledger.failWith(nil)
		require.NoError(t, o.ends())
		present, _ := o.ledger.now()
		require.False(t, present)
		require.Equal(t, "a", expected.Name)
	})
}

// TestStopWhileRegistering: nobody knows whether the server is in the registry.
func TestStopWhileRegistering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := &fakeLedger{}
		ledger.failWith(func(what string) error {
			if what == "register" {
				return errUnknownOutcome
			}
			return nil
		})
		o := open(t, none, ledger, Config{})
		o.start()
		synctest.Wait()
		present, _ := ledger.now()
		require.True(t, present)
		o.stop()
		require.NoError(t, o.ends())
		present, _ = ledger.now()
		require.False(t, present)
	})
}

func TestLevelThatWasSetIsTheDesiredOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		levels, err := logging.New("info")
		require.NoError(t, err)
		o := run(t, none, Config{Logger: levels})
		o.ledger.note("event", DesiredLevel{Level: "error"}) // of another publisher, whose event went before
		set := func(p subscribers.LevelParameters) {
			for _, err := range o.Bus().Call(t.Context(), event.New("logger", "set", p)) {
				require.NoError(t, err)
			}
			synctest.Wait()
		}
		set(subscribers.LevelParameters{Level: "debug", Component: "event"})
		require.Equal(t, DesiredLevel{Level: "debug"}, o.ledger.noted.LogLevels["event"])
		o.ledger.note("event", DesiredLevel{Level: "warn"})
		o.act("refresh")
		require.Equal(t, "warn", o.ledger.noted.LogLevels["event"].Level, "it says so once")

		set(subscribers.LevelParameters{Level: "trace", For: subscribers.Duration(time.Minute)})
		noted := o.ledger.noted.LogLevels["*"]
		require.Equal(t, []string{"info", "trace"}, []string{noted.Level, noted.Passing})
		require.WithinDuration(t, o.Bus().StoreTime().Add(time.Minute), noted.Until, time.Second)
		o.stop()
		require.NoError(t, o.ends())
	})
}

// TestLevelsAfterAGap: what is desired is made up for, with the time that is left.
func TestLevelsAfterAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		levels, err := logging.New("info")
		require.NoError(t, err)
		o := run(t, none, Config{Logger: levels})
		now := o.Bus().StoreTime()
		_, err = levels.Set("server", "debug", time.Hour)
		require.NoError(t, err)
		_, err = levels.Set("worker", "warn", 0)
		require.NoError(t, err)
		want := map[string]DesiredLevel{
			"*":       {Level: "error", Passing: "debug", Until: now.Add(-time.Second)}, // it is over
			"event":   {Passing: "trace", Until: now.Add(time.Minute)},
			"server":  {Level: "default"},
			"unknown": {Level: "debug"},
		}
		o.reconcileLevels(t.Context(), want)
		list := levels.List()
		require.Equal(t, logging.Component{Level: "error", Own: "error"}, list[0])
		require.Equal(t, "trace", list[1].Level)
		require.InDelta(t, time.Minute, list[1].Left, float64(time.Second))
		require.Equal(t, logging.Component{Name: "server", Level: "error", Own: "default"}, list[2], "the hour is off")
		require.Equal(t, "warn", list[3].Level, "nobody wants it otherwise")
		o.reconcileLevels(t.Context(), want)
		require.Equal(t, list[1].Level, levels.List()[1].Level)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, "error", levels.List()[1].Level)
		o.stop()
		require.NoError(t, o.ends())
	})
}

// TestNameTakenOverMeanwhile cuts a server off until another has its name.
func TestNameTakenOverMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		o := open(t, none, &fakeLedger{}, Config{})
		done := make(chan error, 1)
		go func() { done <- o.Run(log.context(t)) }()
		synctest.Wait()
		get := func(path string) (int, string) {
			response := httptest.NewRecorder()
			o.Handler().ServeHTTP(response, httptest.NewRequest("GET", path, nil))
			return response.Code, response.Body.String()
		}
		code, _ := get("/readyz")
		require.Equal(t, 200, code)

		o.ledger.failWith(always(&NameTakenError{Name: "a", By: bson.ObjectID{7}}))
		time.Sleep(10*time.Minute + time.Second)
		code, body := get("/readyz")
		require.Equal(t, 503, code)
		require.Contains(t, body, "not in the registry: a server named a is in the registry already (id 07")
		_, body = get("/metrics")
		require.Contains(t, body, "fleetcast_heartbeat_failing 1")
		said := strings.Count(log.String(), "another took its name")
		require.True(t, said >= 9 && said <= 11, "once a minute, not %d times in ten", said)
		require.Contains(t, log.String(), `{"level":"error"`)

		o.ledger.failWith(nil)
		time.Sleep(retryMost)
		code, _ = get("/readyz")
		require.Equal(t, 200, code)
		_, body = get("/metrics")
		require.Contains(t, body, "fleetcast_heartbeat_failing 0")
		require.Contains(t, log.String(), "the heartbeat is written again")
		o.Stop(0)
		require.NoError(t, <-done)
	})
}

func TestNotReadyWhenLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := run(t, none, Config{})
		o.ledger.failWith(always(errAway))
		time.Sleep(LostAfter)
		require.Empty(t, o.unready(), "it hears, and is not lost yet")
		time.Sleep(2 * DefaultHeartbeat)
		require.Contains(t, o.unready(), "the server is lost: its heartbeat could not be written")
		o.ledger.failWith(nil)
		o.stop()
		require.NoError(t, o.ends())
	})
}
