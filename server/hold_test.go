package server

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/worker"
)

func holdFor(t event.Target) Hold {
	return Hold{ID: bson.NewObjectID(), Target: t, At: time.Now(), Publisher: event.Publisher{User: "ann", Host: "desk"}}
}

// counting is a source that counts how often it was asked.
func counting(asked *atomic.Int32) worker.Source {
	return worker.SourceFunc(func(ctx context.Context, _ worker.Filter) (worker.Work, error) {
		asked.Add(1)
		<-ctx.Done()
		return worker.Work{}, ctx.Err()
	})
}

func TestServerStartsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &lines{}
		var asked atomic.Int32
		ledger := &fakeLedger{holds: []Hold{holdFor(event.Target{Names: []string{"b"}}), holdFor(event.Target{Names: []string{"a*"}})}}
		time.Sleep(time.Second)
		o := open(t, counting(&asked), ledger, Config{Pool: worker.Config{Workers: 1}})
		done := make(chan error, 1)
		go func() { done <- o.Run(log.context(t)) }()
		time.Sleep(time.Minute)
		_, e := ledger.now()
		require.True(t, e.Paused)
		require.Equal(t, Running, e.Lifecycle)
		require.Equal(t, new(true), ledger.noted.Paused, "a gap does not free it")
		require.Zero(t, asked.Load(), "no work was taken before")
		require.Contains(t, log.String(), `"by":"ann@desk","since":"2000-01-01T00:00:00Z"`)

		ledger.holds = nil
		o.act("resume")
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, asked.Load())
		o.Stop(0)
		require.NoError(t, <-done)
	})
}

func TestHoldForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := &fakeLedger{holds: []Hold{holdFor(event.Target{Labels: map[string]string{"role": "web"}})}}
		time.Sleep(time.Second)
		o := open(t, none, ledger, Config{})
		o.start()
		time.Sleep(time.Minute)
		_, e := ledger.now()
		require.False(t, e.Paused)
		o.stop()
		require.NoError(t, o.ends())
	})
}

// TestNoWorkBeforeTheHoldsAreKnown: a registry that cannot be read is no leave
// to work, and a stop does not wait for it.
func TestNoWorkBeforeTheHoldsAreKnown(t *testing.T) {
	for name, then := range map[string]func(*one){
		"known later": func(o *one) { o.ledger.failWith(nil) },
		"stopped":     func(o *one) { o.stop() },
		"stop":        func(o *one) { o.Stop(0) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int32
				ledger := &fakeLedger{}
				ledger.failWith(func(what string) error {
					if what == "holds" {
						return errAway
					}
					return nil
				})
				o := open(t, counting(&asked), ledger, Config{Pool: worker.Config{Workers: 1}})
				o.start()
				time.Sleep(time.Minute)
				require.Zero(t, asked.Load())
				then(o)
				if name == "known later" {
					time.Sleep(time.Minute)
					require.EqualValues(t, 1, asked.Load())
					o.stop()
				}
				require.NoError(t, o.ends())
				require.LessOrEqual(t, asked.Load(), int32(1))
				if name != "known later" {
					require.Zero(t, asked.Load(), "none on the way out")
				}
			})
		})
	}
}

// TestResumeWhileTheHoldsAreRead: what an event has told the server is younger
// than the hold.
func TestResumeWhileTheHoldsAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := &fakeLedger{holds: []Hold{holdFor(event.Target{})}}
		ledger.failWith(func(what string) error {
			if what == "holds" {
				return errAway
			}
			return nil
		})
		o := open(t, none, ledger, Config{})
		o.start()
		time.Sleep(time.Second)
		o.act("resume")
		ledger.failWith(nil)
		time.Sleep(time.Minute)
		_, e := ledger.now()
		require.False(t, e.Paused)
		o.stop()
		require.NoError(t, o.ends())
	})
}

func TestHeldServerWhoseHookFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, tries atomic.Int32
		ledger := &fakeLedger{holds: []Hold{holdFor(event.Target{})}}
		time.Sleep(time.Second)
		o := open(t, counting(&asked), ledger, Config{Hooks: Hooks{Pause: func(context.Context) error {
			if tries.Add(1) < 4 {
				return errors.New("the queue is away")
			}
			return nil
		}}})
		o.start()
		time.Sleep(time.Minute)
		require.EqualValues(t, 4, tries.Load())
		require.Zero(t, asked.Load())
		_, e := ledger.now()
		require.True(t, e.Paused)
		o.stop()
		require.NoError(t, o.ends())
	})
}

func TestHoldIsEndedBy(t *testing.T) {
	web := map[string]string{"role": "web", "zone": "1"}
	for _, test := range []struct {
		hold, resume event.Target
		ends         bool
	}{
		{event.Target{}, event.Target{}, true},
		{event.Target{Names: []string{"a"}}, event.Target{}, true},
		{event.Target{}, event.Target{Names: []string{"*"}}, false},
		{event.Target{Names: []string{"a", "b"}}, event.Target{Names: []string{"b", "a", "a"}}, true},
		{event.Target{Names: []string{"a*"}}, event.Target{Names: []string{"a1"}}, false},
		{event.Target{Hosts: []string{"a"}}, event.Target{Names: []string{"a"}}, false},
		{event.Target{Labels: web}, event.Target{Labels: map[string]string{"zone": "1", "role": "web"}}, true},
		{event.Target{Labels: web}, event.Target{Labels: map[string]string{"role": "web"}}, false},
		{event.Target{Names: []string{"a"}}, event.Target{Names: []string{"a"}, PIDs: []int{1}}, false},
	} {
		require.Equal(t, test.ends, Hold{Target: test.hold}.EndedBy(test.resume), "%v by %v", test.hold, test.resume)
	}
}
