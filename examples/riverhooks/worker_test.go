package riverhooks

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/examples/internal/fleettest"
	"github.com/fleetcast/fleetcast/internal/teststore"
	"github.com/fleetcast/fleetcast/server"
)

func TestMain(m *testing.M) { os.Exit(teststore.Main(m)) }

type mail struct {
	Number int `json:"number"`
}

func (mail) Kind() string { return "mail" }

type fixture struct {
	*fleettest.Fleet
	t      *testing.T
	driver *riversqlite.Driver
	jobs   *river.Client[*sql.Tx] // only inserts and looks
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	pool, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "river.sqlite")+"?_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)")
	require.NoError(t, err)
	pool.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = pool.Close() })
	f := &fixture{t: t, Fleet: fleettest.New(t), driver: riversqlite.New(pool)}
	migrator, err := rivermigrate.New(f.driver, nil)
	require.NoError(t, err)
	_, err = migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil)
	require.NoError(t, err)
	f.jobs, err = river.NewClient(f.driver, &river.Config{Logger: silent})
	require.NoError(t, err)
	return f
}

var silent = slog.New(slog.DiscardHandler)

// add returns the job's id.
func (f *fixture) add(number int) int64 {
	f.t.Helper()
	result, err := f.jobs.Insert(f.t.Context(), mail{number}, nil)
	require.NoError(f.t, err)
	return result.Job.ID
}

func (f *fixture) state(id int64) rivertype.JobState {
	f.t.Helper()
	row, err := f.jobs.JobGet(f.t.Context(), id)
	require.NoError(f.t, err)
	return row.State
}

func (f *fixture) worker(work func(context.Context, *river.Job[mail]) error) *Worker[*sql.Tx] {
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(work))
	return New(f.driver, river.Config{
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2}},
		FetchCooldown:     5 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		Workers:           workers,
		Logger:            silent,
	})
}

// serve runs a server of the fleet whose jobs are River's.
func (f *fixture) serve(name string, work func(context.Context, *river.Job[mail]) error, timeout time.Duration) (*server.Server, <-chan error) {
	f.t.Helper()
	jobs := f.worker(work)
	srv, err := server.Open(f.t.Context(), f.DB, nil, server.Config{
		Bus:             event.Config{Identity: event.Identity{Name: name}},
		Hooks:           jobs.Hooks(),
		ShutdownTimeout: timeout,
	})
	require.NoError(f.t, err)
	require.NoError(f.t, jobs.Start(f.t.Context()))
	f.t.Cleanup(func() {
		ended, end := context.WithCancel(context.Background())
		end()
		_ = jobs.Stop(ended)
	})
	return srv, f.Run(srv)
}

// work is that of jobs which the test ends.
type work struct{ begun, finish, cancelled chan int }

func newWork() *work { return &work{make(chan int, 10), make(chan int), make(chan int, 10)} }

func (w *work) do(ctx context.Context, job *river.Job[mail]) error {
	w.begun <- job.Args.Number
	select {
	case <-w.finish:
		return nil
	case <-ctx.Done():
		w.cancelled <- job.Args.Number
		return ctx.Err()
	}
}

func TestPauseAndResumeOneServer(t *testing.T) {
	f := newFixture(t)
	a, b := newWork(), newWork()
	defer close(a.finish)
	defer close(b.finish)
	srvA, _ := f.serve("a", a.do, 0)
	one := f.add(1)
	require.Equal(t, 1, fleettest.Receive(t, a.begun))
	srvB, _ := f.serve("b", b.do, 0)

	f.Tell("pause", nil, srvA)
	for range 10 {
		f.add(2)
		require.Equal(t, 2, fleettest.Receive(t, b.begun), "only b takes jobs")
		fleettest.Send(t, b.finish, 2)
	}
	fleettest.Send(t, a.finish, 1) // its current work has gone on
	f.Await("job 1 is done", func() bool { return f.state(one) == rivertype.JobStateCompleted })

	f.Tell("pause", nil)
	f.add(3)
	f.Tell("resume", nil, srvA)
	require.Equal(t, 3, fleettest.Receive(t, a.begun))
	f.Tell("resume", nil, srvB)
	f.add(4)
	f.add(5) // a has room for one
	fleettest.Receive(t, b.begun)
}

// TestResumeBesideOldJobs: a job from before the pause does not hold up others.
func TestResumeBesideOldJobs(t *testing.T) {
	f := newFixture(t)
	w := newWork()
	_, ended := f.serve("a", w.do, 0)
	one := f.add(1)
	require.Equal(t, 1, fleettest.Receive(t, w.begun))
	f.Tell("pause", nil)
	f.Tell("resume", nil)
	two := f.add(2)
	require.Equal(t, 2, fleettest.Receive(t, w.begun))

	_, err := f.Bus.Publish(t.Context(), event.New("server", "stop", nil))
	require.NoError(t, err)
	f.Await("it is stopping", func() bool { return f.Entries()[0].Lifecycle == server.Stopping })
	fleettest.Send(t, w.finish, 1)
	fleettest.Send(t, w.finish, 2) // it waits for both
	require.NoError(t, fleettest.Receive(t, ended))
	require.Equal(t, rivertype.JobStateCompleted, f.state(one))
	require.Equal(t, rivertype.JobStateCompleted, f.state(two))
	require.Empty(t, f.Entries())
}

// TestStopOutOfTimeAndKill cancel jobs, the current and those from before a pause.
func TestStopOutOfTimeAndKill(t *testing.T) {
	for action, result := range map[string]error{"stop": nil, "kill": server.ErrKilled} {
		t.Run(action, func(t *testing.T) {
			f := newFixture(t)
			w := newWork()
			_, ended := f.serve("a", w.do, 50*time.Millisecond)
			one := f.add(1)
			fleettest.Receive(t, w.begun)
			f.Tell("pause", nil)
			f.Tell("resume", nil)
			two := f.add(2)
			fleettest.Receive(t, w.begun)
			f.Tell(action, nil)
			require.ErrorIs(t, fleettest.Receive(t, ended), result)
			require.ElementsMatch(t, []int{1, 2}, []int{fleettest.Receive(t, w.cancelled), fleettest.Receive(t, w.cancelled)})
			for _, id := range []int64{one, two} { // it will be tried again
				require.Contains(t, []rivertype.JobState{rivertype.JobStateRetryable, rivertype.JobStateAvailable}, f.state(id))
			}
		})
	}
}

// TestJobsThatIgnoreTheirEnd are told of, and do not hold up the server for ever.
func TestJobsThatIgnoreTheirEnd(t *testing.T) {
	f := newFixture(t)
	begun, release := make(chan struct{}), make(chan struct{})
	_, ended := f.serve("a", func(context.Context, *river.Job[mail]) error {
		close(begun)
		<-release
		return nil
	}, 50*time.Millisecond)
	id := f.add(1)
	fleettest.Receive(t, begun)
	_, err := f.Bus.Publish(t.Context(), event.New("server", "stop", nil))
	require.NoError(t, err)
	require.ErrorContains(t, fleettest.Receive(t, ended), "ignore the end of their context")
	close(release)
	f.Await("it has ended after all", func() bool { return f.state(id) == rivertype.JobStateCompleted })
}

func TestNothingIsLeftBehind(t *testing.T) {
	f := newFixture(t)
	ignore := goleak.IgnoreCurrent()
	w := f.worker(func(context.Context, *river.Job[mail]) error { return nil })
	for range 3 {
		require.NoError(t, w.Start(t.Context()))
		require.NoError(t, w.Start(t.Context()), "repeating is harmless")
		_, err := w.Client().Insert(t.Context(), mail{1}, nil)
		require.NoError(t, err)
		require.NoError(t, w.Pause(t.Context()))
		require.NoError(t, w.Pause(t.Context()))
	}
	require.NoError(t, w.Stop(t.Context()))
	require.NoError(t, w.Stop(t.Context()))
	goleak.VerifyNone(t, ignore)
}
