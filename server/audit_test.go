package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/subscribers"
)

// trail returns the entries that a filter chooses, the oldest first.
func (f *fleet) trail(filter server.AuditFilter) []server.AuditEntry {
	f.t.Helper()
	entries, _, err := f.Trail(f.t.Context(), filter)
	require.NoError(f.t, err)
	return entries
}

func actions(entries []server.AuditEntry) string {
	var words []string
	for _, e := range entries {
		words = append(words, e.Action)
	}
	return strings.Join(words, " ")
}

func TestActsAreOnRecord(t *testing.T) {
	f := newFleet(t)
	a := f.run(none, named("a"))
	f.run(none, named("b"))
	f.call(event.New("server", "pause", nil, event.To(event.Target{Names: []string{"a"}})))
	f.call(event.New("server", "resize", subscribers.ResizeParameters{}, event.To(event.Target{Names: []string{"b"}})))
	id, err := f.bus.Publish(t.Context(), event.New("server", "resume", nil))
	require.NoError(t, err)
	_, err = f.bus.Publish(t.Context(), event.New("server", "refresh", nil), event.New("mine", "do", nil))
	require.NoError(t, err)

	entries := f.trail(server.AuditFilter{})
	require.Equal(t, "pause resize resume", actions(entries), "the user's own and those that change nothing are not recorded")
	pause, resize := entries[0], entries[1]
	require.Equal(t, server.AuditComplete, pause.State())
	require.Equal(t, event.Target{Names: []string{"a"}}, pause.Target)
	require.NotEmpty(t, pause.Publisher.User)
	require.NotEmpty(t, pause.Publisher.App)
	require.Equal(t, a.Bus().Identity().ServerID, pause.Servers[0].ServerID)
	require.Equal(t, []string{"a", "done"}, []string{pause.Servers[0].Server, pause.Servers[0].Kind})
	require.Positive(t, pause.DurationMS)
	require.Less(t, pause.Age, time.Minute)
	require.False(t, pause.Failed())

	require.Equal(t, server.AuditComplete, resize.State())
	require.Equal(t, "failed", resize.Servers[0].Kind)
	require.Contains(t, resize.Servers[0].Error, "at least 1")
	require.True(t, resize.Failed())
	require.EqualValues(t, 0, resize.Parameters.Lookup("max_workers").AsInt64())

	resume, err := f.Recorded(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, server.AuditNotWaited, resume.State())
	require.Len(t, resume.Servers, 2, "who was meant is known all the same")
	require.Empty(t, resume.Servers[0].Kind)
	require.False(t, resume.Failed())
	_, err = f.Recorded(t.Context(), bson.NewObjectID())
	require.ErrorIs(t, err, server.ErrNotRecorded)

	for want, filter := range map[string]server.AuditFilter{
		"pause":               {Action: "pause"},
		"resize":              {Failed: true},
		"pause resume":        {Server: "a"},
		"resize resume":       {Server: "[b-z]"},
		"resize resume ":      {Limit: 2},
		"pause resize resume": {Subscriber: "server", Since: time.Hour, User: pause.Publisher.User},
		"":                    {User: "nobody"},
		" ":                   {Subscriber: "logger"},
	} {
		require.Equal(t, strings.TrimSpace(want), actions(f.trail(filter)), want)
	}
	_, more, err := f.Trail(t.Context(), server.AuditFilter{Limit: 2})
	require.NoError(t, err)
	require.True(t, more)
	_, more, err = f.Trail(t.Context(), server.AuditFilter{Limit: 3})
	require.NoError(t, err)
	require.False(t, more)
	_, _, err = f.Trail(t.Context(), server.AuditFilter{Server: "["})
	require.Error(t, err)
}

// TestMissingOnRecord asks a server that dies, as far as others can tell, before
// it answers, and one that is frozen in its work.
func TestMissingOnRecord(t *testing.T) {
	f := newFleet(t)
	release := make(chan struct{})
	defer close(release)
	f.run(works(release, true), named("a"))
	f.await("work", func() bool { return f.busy("a") == 2 })
	var sum event.Summary
	for range f.bus.Call(t.Context(), event.New("server", "stop", bson.M{"timeout": 0}), event.Wait(500*time.Millisecond), event.Summarize(&sum)) {
	}
	require.Equal(t, 1, sum.Missing)
	e := f.trail(server.AuditFilter{})[0]
	require.Equal(t, server.AuditIncomplete, e.State())
	require.Equal(t, server.AuditMissing, e.Servers[0].Kind)
	require.True(t, e.Servers[0].Acked)
	require.True(t, e.Failed())
	require.Equal(t, 1, e.Count(server.AuditMissing))
}

// TestUnknownOnRecord writes down an act whose caller never says how it went.
func TestUnknownOnRecord(t *testing.T) {
	f := newFleet(t)
	e := event.New("server", "stop", nil)
	require.NoError(t, f.Audit(t.Context(), event.Act{Event: e, Wait: time.Minute, Expected: []event.Member{{Name: "a"}}}))
	got, err := f.Recorded(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, server.AuditWaiting, got.State())
	require.False(t, got.Failed())
	got.Age = 2 * time.Minute
	require.Equal(t, server.AuditUnknown, got.State())
	require.True(t, got.Failed())

	left := event.Conclusion{Ending: event.EndedLeft, Summary: event.Summary{Servers: []event.Outcome{{Server: "a", Expected: true}}}}
	require.NoError(t, f.Conclude(t.Context(), event.Act{Event: e}, left))
	got, err = f.Recorded(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, server.AuditLeft, got.State())
	require.NoError(t, f.Audit(t.Context(), event.Act{Event: e, Wait: time.Minute}))
	got, err = f.Recorded(t.Context(), e.ID)
	require.NoError(t, err)
	require.Equal(t, server.AuditLeft, got.State(), "a repetition forgets nothing")
}

// TestPublishedAgainOnRecord fails to publish an event, and succeeds with it
// then: one entry, without the error.
func TestPublishedAgainOnRecord(t *testing.T) {
	f := newFleet(t)
	act := event.Act{Event: event.New("server", "stop", nil)}
	require.NoError(t, f.Audit(t.Context(), act))
	require.NoError(t, f.Conclude(t.Context(), act, event.Conclusion{Ending: event.EndedUnstored, Err: errors.New(strings.Repeat("é", 1000))}))
	first, err := f.Recorded(t.Context(), act.Event.ID)
	require.NoError(t, err)
	require.Equal(t, server.AuditPublishFailed, first.State())
	require.True(t, first.Failed())
	require.Equal(t, strings.Repeat("é", 512)+" …", first.Error)

	require.NoError(t, f.Audit(t.Context(), act))
	again, err := f.Recorded(t.Context(), act.Event.ID)
	require.NoError(t, err)
	require.Equal(t, server.AuditNotWaited, again.State())
	require.Empty(t, again.Error)
	require.False(t, again.At.Before(first.At))
	require.Len(t, f.trail(server.AuditFilter{}), 1)
}

// vault is a user's subscriber whose action is audited and takes a secret.
type vault struct{}

type unlock struct {
	Door string `bson:"door"`
	Key  string `bson:"key" fleetcast:"secret"`
}

func (vault) Name() string { return "vault" }
func (vault) Actions() []event.Action {
	return []event.Action{event.OnResult("open", func(_ context.Context, u unlock) (string, error) { return u.Door, nil }, event.Audited())}
}

// TestSecretsAreNotOnRecord publishes by the type, by untyped parameters, and by
// those without waiting, the way the command line does.
func TestSecretsAreNotOnRecord(t *testing.T) {
	f := newFleet(t)
	a := f.start(none, named("a"))
	_, err := a.Bus().Subscribe(vault{})
	require.NoError(t, err)
	f.await("the subscriber in the registry", func() bool { return len(f.entries()["a"].Traits) == 1 })

	f.call(event.New("vault", "open", unlock{"front", "hunter2"}))
	f.call(event.New("vault", "open", bson.M{"door": "back", "key": "hunter2"}))
	e := event.New("vault", "open", bson.M{"door": "side", "key": "hunter2"})
	members, err := f.bus.Match(t.Context(), e)
	require.NoError(t, err)
	e.Learn(members)
	_, err = f.bus.Publish(t.Context(), e)
	require.NoError(t, err)

	entries := f.trail(server.AuditFilter{})
	require.Len(t, entries, 3)
	for i, door := range []string{"front", "back", "side"} {
		require.Equal(t, door, entries[i].Parameters.Lookup("door").StringValue())
		require.Equal(t, event.Hidden, entries[i].Parameters.Lookup("key").StringValue())
	}
	require.NotContains(t, f.everythingIn(server.AuditCollection), "hunter2")
	require.Contains(t, f.everythingIn(event.EventsCollection), "hunter2", "the subscriber needs it")
}

func (f *fleet) everythingIn(collection string) string {
	f.t.Helper()
	cursor, err := f.db.Collection(collection).Find(f.t.Context(), bson.D{})
	require.NoError(f.t, err)
	var docs []bson.Raw
	require.NoError(f.t, cursor.All(f.t.Context(), &docs))
	require.NotEmpty(f.t, docs)
	text := ""
	for _, d := range docs {
		text += d.String() + "\n"
	}
	return text
}

// ttl returns how long the audit is kept, 0 when there is no index.
func (f *fleet) ttl() time.Duration {
	f.t.Helper()
	specs, err := f.db.Collection(server.AuditCollection).Indexes().ListSpecifications(f.t.Context())
	require.NoError(f.t, err)
	for _, s := range specs {
		if s.ExpireAfterSeconds != nil {
			return time.Duration(*s.ExpireAfterSeconds) * time.Second
		}
	}
	return 0
}

func TestHowLongTheAuditIsKept(t *testing.T) {
	f := newFleet(t)
	require.Zero(t, f.ttl())
	_, err := f.bus.Publish(t.Context(), event.New("server", "stop", nil)) // by a publisher alone
	require.NoError(t, err)
	require.Equal(t, server.DefaultAuditKeep, f.ttl())

	cfg := named("a")
	cfg.AuditKeep = time.Hour
	f.run(none, cfg)
	require.Equal(t, time.Hour, f.ttl(), "a server that is told so changes it")
	f.run(none, named("b"))
	require.Equal(t, time.Hour, f.ttl(), "one that is not leaves it")
	_, err = f.bus.Publish(t.Context(), event.New("server", "refresh", nil))
	require.NoError(t, err)
	require.Equal(t, time.Hour, f.ttl())

	for _, keep := range []time.Duration{time.Second, -time.Hour, 100 * 365 * 24 * time.Hour} {
		cfg.AuditKeep = keep
		_, err := server.Open(t.Context(), f.db, none, cfg)
		require.ErrorContains(t, err, "server.Config.AuditKeep")
	}
}

// TestActThatIsNotOnRecordDoesNotHappen has an audit that takes nothing: acts fail,
// and leave no desired state; the user's own events do not care.
func TestActThatIsNotOnRecordDoesNotHappen(t *testing.T) {
	f := newFleet(t)
	f.run(none, named("a"))
	refused := errors.New("not authorized")
	bus, err := event.Open(t.Context(), f.db, event.Config{Directory: refusing{f.Registry, refused}})
	require.NoError(t, err)
	for _, err := range bus.Call(t.Context(), event.New("server", "pause", nil)) {
		require.ErrorIs(t, err, refused)
	}
	require.False(t, f.entries()["a"].Paused)
	require.Nil(t, f.entries()["a"].Desired.Paused, "it is not desired either")
	_, err = bus.Publish(t.Context(), event.New("mine", "do", nil))
	require.NoError(t, err)
}

type refusing struct {
	*server.Registry
	err error
}

func (r refusing) Audit(context.Context, event.Act) error { return r.err }

// BenchmarkPublish is a user event to a store, beside a bus that has no audit.
func BenchmarkPublish(b *testing.B) {
	f := newFleet(b)
	plain, err := event.Open(b.Context(), f.db, event.Config{})
	require.NoError(b, err)
	for name, bus := range map[string]*event.Bus{"plain": plain, "audit": f.bus} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, err := bus.Publish(b.Context(), event.New("mine", "do", nil))
				require.NoError(b, err)
			}
		})
	}
	b.Run("recorded", func(b *testing.B) {
		for b.Loop() {
			_, err := f.bus.Publish(b.Context(), event.New("logger", "set", nil))
			require.NoError(b, err)
		}
	})
}
