package asynqhooks

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/examples/internal/fleettest"
	"github.com/fleetcast/fleetcast/internal/teststore"
	"github.com/fleetcast/fleetcast/server"
)

func TestMain(m *testing.M) { os.Exit(teststore.Main(m)) }

type fixture struct {
	*fleettest.Fleet
	t      *testing.T
	redis  asynq.RedisClientOpt
	client *asynq.Client
	tasks  *asynq.Inspector
}

func newFixture(t *testing.T) *fixture {
	mini := miniredis.RunT(t)
	f := &fixture{t: t, Fleet: fleettest.New(t), redis: asynq.RedisClientOpt{Addr: mini.Addr()}}
	f.client, f.tasks = asynq.NewClient(f.redis), asynq.NewInspector(f.redis)
	t.Cleanup(func() { _, _ = f.client.Close(), f.tasks.Close() })
	return f
}

func (f *fixture) add(payload string) {
	f.t.Helper()
	// The strictest case: the first failure archives the task.
	_, err := f.client.Enqueue(asynq.NewTask("mail", []byte(payload)), asynq.MaxRetry(0))
	require.NoError(f.t, err)
}

// queue is how many tasks are in which state.
func (f *fixture) queue() asynq.QueueInfo {
	f.t.Helper()
	info, err := f.tasks.GetQueueInfo("default")
	require.NoError(f.t, err)
	return *info
}

// serve runs a server of the fleet whose tasks are asynq's.
func (f *fixture) serve(name string, handle asynq.HandlerFunc, timeout time.Duration) (*server.Server, *Worker, <-chan error) {
	f.t.Helper()
	tasks := New(f.redis, handle, asynq.Config{
		Concurrency: 2, TaskCheckInterval: 10 * time.Millisecond, LogLevel: asynq.FatalLevel,
	})
	tasks.cfg.ShutdownTimeout = time.Millisecond // what it has not waited for is put back
	srv, err := server.Open(f.t.Context(), f.DB, nil, server.Config{
		Bus:             event.Config{Identity: event.Identity{Name: name}},
		Hooks:           tasks.Hooks(),
		ShutdownTimeout: timeout,
	})
	require.NoError(f.t, err)
	require.NoError(f.t, tasks.Start(f.t.Context()))
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = tasks.Stop(ctx)
	})
	return srv, tasks, f.Run(srv)
}

// job is a handler whose tasks the test ends.
type job struct{ begun, finish, cancelled chan string }

func newJob() *job {
	return &job{make(chan string, 10), make(chan string), make(chan string, 10)}
}

func (j *job) handle(ctx context.Context, task *asynq.Task) error {
	j.begun <- string(task.Payload())
	select {
	case <-j.finish:
		return nil
	case <-ctx.Done():
		j.cancelled <- string(task.Payload())
		return ctx.Err()
	}
}

func TestPauseAndResumeOneServer(t *testing.T) {
	f := newFixture(t)
	a, b := newJob(), newJob()
	defer close(a.finish)
	defer close(b.finish)
	srvA, _, _ := f.serve("a", a.handle, 0)
	f.add("1")
	require.Equal(t, "1", fleettest.Receive(t, a.begun))
	srvB, _, _ := f.serve("b", b.handle, 0)

	f.Tell("pause", nil, srvA)
	const n = 10
	for range n {
		f.add("2")
		require.Equal(t, "2", fleettest.Receive(t, b.begun), "only b takes tasks")
		fleettest.Send(t, b.finish, "2")
	}
	fleettest.Send(t, a.finish, "1") // its current work has gone on
	f.Await("all are done", func() bool { return f.queue().Processed == n+1 })

	f.Tell("pause", nil)
	f.add("3")
	f.Tell("resume", nil, srvA)
	require.Equal(t, "3", fleettest.Receive(t, a.begun))
	f.Tell("resume", nil, srvB)
	f.add("4")
	f.add("5") // a has room for one
	fleettest.Receive(t, b.begun)
}

// TestResumeBesideOldTasks: a task from before the pause does not hold up others.
func TestResumeBesideOldTasks(t *testing.T) {
	f := newFixture(t)
	j := newJob()
	_, _, ended := f.serve("a", j.handle, 0)
	f.add("1")
	require.Equal(t, "1", fleettest.Receive(t, j.begun))
	f.Tell("pause", nil)
	f.Tell("resume", nil)
	f.add("2")
	require.Equal(t, "2", fleettest.Receive(t, j.begun))

	_, err := f.Bus.Publish(t.Context(), event.New("server", "stop", nil))
	require.NoError(t, err)
	f.Await("it is stopping", func() bool { return f.Entries()[0].Lifecycle == server.Stopping })
	f.add("3")
	fleettest.Send(t, j.finish, "1")
	fleettest.Send(t, j.finish, "2") // it waits for both
	require.NoError(t, fleettest.Receive(t, ended))
	require.Equal(t, 2, f.queue().Processed)
	require.Equal(t, 1, f.queue().Pending)
	require.Empty(t, f.Entries())
}

// TestTaskTakenInTheMomentOfAPause: asynq hands over one more task after its stop.
// It does not wait for those from before the pause, and is waited for itself.
func TestTaskTakenInTheMomentOfAPause(t *testing.T) {
	j := newJob()
	p := &pulling{handler: asynq.HandlerFunc(j.handle), ended: make(chan struct{}, 1)}
	results, idle := make(chan error, 2), make(chan int)
	process := func(payload string) {
		go func() { results <- p.ProcessTask(t.Context(), asynq.NewTask("mail", []byte(payload))) }()
		require.Equal(t, payload, fleettest.Receive(t, j.begun))
	}
	process("1")
	go func() { idle <- p.idle(t.Context()) }()
	process("2")
	for range 2 {
		fleettest.Send(t, j.finish, "")
		require.NoError(t, fleettest.Receive(t, results))
	}
	require.Zero(t, fleettest.Receive(t, idle))
	require.False(t, p.begin(), "nothing begins any more")
}

// TestStopOutOfTimeAndKill put tasks back, the current and those from before a pause.
func TestStopOutOfTimeAndKill(t *testing.T) {
	for action, result := range map[string]error{"stop": nil, "kill": server.ErrKilled} {
		t.Run(action, func(t *testing.T) {
			f := newFixture(t)
			j := newJob()
			_, _, ended := f.serve("a", j.handle, 50*time.Millisecond)
			f.add("1")
			fleettest.Receive(t, j.begun)
			f.Tell("pause", nil)
			f.Tell("resume", nil)
			f.add("2")
			fleettest.Receive(t, j.begun)
			f.Tell(action, nil)
			require.ErrorIs(t, fleettest.Receive(t, ended), result)
			require.ElementsMatch(t, []string{"1", "2"}, []string{fleettest.Receive(t, j.cancelled), fleettest.Receive(t, j.cancelled)})
			now := f.queue()
			require.Equal(t, 2, now.Pending, "%+v", now)
			require.Zero(t, now.Failed)
		})
	}
}

// TestTasksThatIgnoreTheirEnd are told of, and do not hold up the server for ever.
func TestTasksThatIgnoreTheirEnd(t *testing.T) {
	f := newFixture(t)
	begun, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	var times atomic.Int32
	_, _, ended := f.serve("a", func(context.Context, *asynq.Task) error {
		if times.Add(1) == 1 {
			close(begun)
			<-release
		}
		return nil
	}, 50*time.Millisecond)
	f.add("1")
	fleettest.Receive(t, begun)
	_, err := f.Bus.Publish(t.Context(), event.New("server", "stop", nil))
	require.NoError(t, err)
	require.ErrorContains(t, fleettest.Receive(t, ended), "1 asynq tasks ignore the end of their context")
	require.Equal(t, 1, f.queue().Pending)
}

func TestNothingIsLeftBehind(t *testing.T) {
	f := newFixture(t)
	f.add("1") // opens the connection of this client
	ignore := goleak.IgnoreCurrent()
	w := New(f.redis, asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return errors.ErrUnsupported }),
		asynq.Config{LogLevel: asynq.FatalLevel, TaskCheckInterval: time.Millisecond})
	for range 3 {
		require.NoError(t, w.Start(t.Context()))
		require.NoError(t, w.Start(t.Context()), "repeating is harmless")
		f.add("1")
		require.NoError(t, w.Pause(t.Context()))
		require.NoError(t, w.Pause(t.Context()))
	}
	require.NoError(t, w.Stop(t.Context()))
	require.NoError(t, w.Stop(t.Context()))
	goleak.VerifyNone(t, ignore)
}
