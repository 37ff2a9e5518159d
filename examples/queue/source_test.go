package queue

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/examples/internal/fleettest"
	"github.com/fleetcast/fleetcast/internal/teststore"
	"github.com/fleetcast/fleetcast/server"
	"github.com/fleetcast/fleetcast/worker"
)

func TestMain(m *testing.M) { os.Exit(teststore.Main(m)) }

// eager looks again and again.
var eager = Config{Poll: 10 * time.Millisecond, Sweep: time.Nanosecond}

type fixture struct {
	*fleettest.Fleet
	t *testing.T
}

func newFixture(t *testing.T) fixture { return fixture{fleettest.New(t), t} }

func (f fixture) add(kind string, priority int) string {
	f.t.Helper()
	id, err := Add(f.t.Context(), f.DB, kind, priority, bson.M{"kind": kind})
	require.NoError(f.t, err)
	return id.Hex()
}

// source is that of a server that is in no registry.
func (f fixture) source(cfg Config) *Source {
	f.t.Helper()
	s, err := Open(f.t.Context(), f.DB, bson.NewObjectID(), func(context.Context, Job) error { return nil }, cfg)
	require.NoError(f.t, err)
	return s
}

func (f fixture) take(s *Source, filter worker.Filter) worker.Work {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), fleettest.Patience)
	defer cancel()
	unit, err := s.Take(ctx, filter)
	require.NoError(f.t, err)
	return unit
}

func (f fixture) job(id string) (job Job) {
	f.t.Helper()
	key, err := bson.ObjectIDFromHex(id)
	require.NoError(f.t, err)
	require.NoError(f.t, f.DB.Collection(Collection).FindOne(f.t.Context(), bson.D{{Key: "_id", Value: key}}).Decode(&job))
	return job
}

// do runs a unit as a worker does.
func do(ctx context.Context, unit worker.Work) error {
	err := unit.Run(ctx)
	unit.Report(err)
	return err
}

func TestPriorityThenAge(t *testing.T) {
	f := newFixture(t)
	var added []string
	for _, priority := range []int{0, 5, -1, 5, 0} {
		added = append(added, f.add("import", priority))
	}
	s := f.source(Config{})
	var taken []string
	for range added {
		taken = append(taken, f.take(s, worker.Filter{}).ID)
	}
	require.Equal(t, []string{added[1], added[3], added[0], added[4], added[2]}, taken)
}

func TestFilter(t *testing.T) {
	for name, test := range map[string]struct {
		filter worker.Filter
		taken  []string
	}{
		"none":                            {worker.Filter{}, []string{"import/csv", "import/xml", "mail", "report"}},
		"include":                         {worker.Filter{Include: []string{"import/*", "mail"}}, []string{"import/csv", "import/xml", "mail"}},
		"exclude":                         {worker.Filter{Exclude: []string{"import/*", "mail"}}, []string{"report"}},
		"no regexp":                       {worker.Filter{Include: []string{"m.il", "repor"}}, nil},
		"where":                           {worker.Filter{Where: map[string]any{"payload.kind": "mail"}}, []string{"mail"}},
		"where over priority":             {worker.Filter{Where: map[string]any{"priority": bson.M{"$gt": 2}}}, []string{"import/csv", "import/xml"}},
		"both":                            {worker.Filter{Exclude: []string{"*/xml"}, Where: map[string]any{"priority": bson.M{"$gt": 2}}}, []string{"import/csv"}},
		"where cannot reach other states": {worker.Filter{Where: map[string]any{"state": Completed}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			for i, kind := range []string{"import/csv", "import/xml", "mail", "report"} {
				f.add(kind, 4-i)
			}
			s := f.source(eager)
			require.NoError(t, test.filter.Validate())
			for _, kind := range test.taken {
				require.Equal(t, kind, f.take(s, test.filter).Kind)
			}
			_, err := s.claim(t.Context(), test.filter)
			require.Error(t, err, "no more")
		})
	}
}

func TestOutcome(t *testing.T) {
	killed, kill := context.WithCancelCause(context.Background())
	kill(worker.ErrKilled)
	for name, test := range map[string]struct {
		ctx     context.Context
		outcome error
		max     int
		state   State
		why     string
	}{
		"completed":                   {t.Context(), nil, 5, Completed, ""},
		"failed":                      {t.Context(), errors.New("no such file"), 5, Failed, "no such file"},
		"killed":                      {killed, worker.ErrKilled, 5, Queued, "interrupted: worker killed"},
		"finished in spite of a kill": {killed, nil, 5, Completed, ""},
		"killed for the last time":    {killed, worker.ErrKilled, 1, Failed, "begun 1 times and never ended; at last: interrupted: worker killed"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			id := f.add("import", 0)
			s := f.source(Config{MaxAttempts: test.max})
			s.handle = func(_ context.Context, job Job) error {
				require.Equal(t, "import", job.Payload.Lookup("kind").StringValue())
				return test.outcome
			}
			unit := f.take(s, worker.Filter{})
			require.Equal(t, Running, f.job(id).State)
			require.Equal(t, s.server, f.job(id).ServerID)
			require.ErrorIs(t, do(test.ctx, unit), test.outcome)

			job := f.job(id)
			require.Equal(t, test.state, job.State)
			require.Equal(t, test.why, job.Error)
			require.Equal(t, 1, job.Attempts)
			require.Equal(t, test.state == Queued, job.ServerID.IsZero())
			require.Equal(t, test.state != Queued, !job.EndedAt.IsZero())
			require.Empty(t, s.held)
		})
	}
}

func TestPanicFails(t *testing.T) {
	f := newFixture(t)
	id := f.add("import", 0)
	unit := f.take(f.source(Config{}), worker.Filter{})
	unit.Report(&worker.PanicError{Value: "boom"}) // Run has not returned
	require.Equal(t, Failed, f.job(id).State)
	require.Equal(t, "panic: boom", f.job(id).Error)
}

// TestWaiting: the workers of a server that has no work wait, one of them for the
// database, and obey the end of their contexts.
func TestWaiting(t *testing.T) {
	f := newFixture(t)
	s := f.source(Config{Poll: time.Hour})
	ctx, stop := context.WithCancel(t.Context())
	type result struct {
		unit worker.Work
		err  error
	}
	results := make(chan result)
	for range 3 {
		go func() {
			unit, err := s.Take(ctx, worker.Filter{})
			results <- result{unit, err}
		}()
	}
	id := f.add("import", 0)
	require.NoError(t, s.wake(t.Context(), struct{}{}))
	first := fleettest.Receive(t, results)
	require.NoError(t, first.err)
	require.Equal(t, id, first.unit.ID)
	stop()
	for range 2 {
		r := fleettest.Receive(t, results)
		require.ErrorIs(t, r.err, context.Canceled)
		require.Nil(t, r.unit.Run)
	}
}

// TestClaimOutlivesItsContext: a pause in the middle of a claim.
func TestClaimOutlivesItsContext(t *testing.T) {
	f := newFixture(t)
	id := f.add("import", 0)
	ended, end := context.WithCancel(t.Context())
	end()
	job, err := f.source(Config{}).claim(ended, worker.Filter{})
	require.NoError(t, err)
	require.Equal(t, id, job.ID.Hex())
}

func TestDead(t *testing.T) {
	id := bson.NewObjectID()
	living, lost := []server.Entry{{ID: id}}, []server.Entry{{ID: id, Age: 2 * server.LostAfter}}
	u := unseen{}
	require.False(t, u.dead(id, living))
	require.True(t, u.dead(id, lost))
	require.False(t, u.dead(id, living), "back again")
	require.False(t, u.dead(id, nil))
	require.False(t, u.dead(id, nil))
	require.False(t, u.dead(id, living), "somebody had deleted its entry")
	require.False(t, u.dead(id, nil))
	require.False(t, u.dead(id, nil))
	require.True(t, u.dead(id, nil))
}

// TestServerThatWasGivenUp comes back, and reports what another one has done.
func TestServerThatWasGivenUp(t *testing.T) {
	f := newFixture(t)
	id := f.add("import", 0)
	a, b := f.source(Config{Sweep: time.Hour}), f.source(eager)
	b.handle = func(context.Context, Job) error { return errors.New("of b") }
	theirs := f.take(a, worker.Filter{})
	ours := f.take(b, worker.Filter{}) // a is in no registry
	require.Equal(t, id, ours.ID)
	require.NoError(t, do(t.Context(), theirs))
	require.Equal(t, Running, f.job(id).State)
	require.Equal(t, b.server, f.job(id).ServerID)
	require.Error(t, do(t.Context(), ours))
	require.Equal(t, "of b", f.job(id).Error)
	require.Equal(t, 2, f.job(id).Attempts)
}

// TestServersOwnLostJobs: a claim whose answer never came is not a job that is
// being done.
func TestServersOwnLostJobs(t *testing.T) {
	f := newFixture(t)
	doing, lost := f.add("import", 1), f.add("import", 0)
	s := f.source(eager)
	require.Equal(t, doing, f.take(s, worker.Filter{}).ID)
	_, err := s.claim(t.Context(), worker.Filter{}) // and nobody hears of it
	require.NoError(t, err)
	require.Equal(t, lost, f.take(s, worker.Filter{}).ID)
	require.Equal(t, 1, f.job(doing).Attempts)
	require.Equal(t, 2, f.job(lost).Attempts)
}

func TestPoisonousJob(t *testing.T) {
	f := newFixture(t)
	id := f.add("import", 0)
	s := f.source(Config{Poll: eager.Poll, Sweep: eager.Sweep, MaxAttempts: 2})
	for range 2 {
		f.take(s, worker.Filter{})
		clear(s.held) // as if the server had died
	}
	require.NoError(t, s.sweep(t.Context()))
	require.Equal(t, Failed, f.job(id).State)
	require.Contains(t, f.job(id).Error, "begun 2 times")
}
