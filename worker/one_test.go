package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// situations are what worker 1 of a pool of one can be at. Each is told how to
// begin, and how long the worker needs until it can leave.
var situations = map[string]struct {
	source func(feed) Source
	begin  func(*running, feed)
	state  State
	needs  time.Duration
}{
	"in take":      {nil, nil, Idle, 0},
	"in deaf take": {takesDeaf, nil, Idle, 2 * time.Second},
	"busy": {nil, func(_ *running, f feed) { f <- unit(1, lasting(time.Minute)) },
		Busy, time.Minute},
	"paused": {nil, func(r *running, _ feed) { r.Pause() }, Paused, 0},
	"quiet":  {nil, func(r *running, _ feed) { r.Quiet() }, Idle, 0},
	"polling": {func(feed) Source {
		return SourceFunc(func(context.Context, Filter) (Work, error) { return Work{}, ErrNoWork })
	}, nil, Idle, 0},
	"backing off": {func(feed) Source {
		return SourceFunc(func(context.Context, Filter) (Work, error) { return Work{}, errSource })
	}, func(*running, feed) { time.Sleep(5*time.Minute + time.Nanosecond) }, Idle, 0},
}

func takesDeaf(feed) Source {
	return SourceFunc(func(ctx context.Context, _ Filter) (Work, error) {
		<-ctx.Done()
		time.Sleep(2 * time.Second)
		return Work{}, ctx.Err()
	})
}

// eachSituation runs f in every situation.
func eachSituation(t *testing.T, f func(r *running, needs time.Duration)) {
	for name, situation := range situations {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := make(feed)
				var s Source = source
				if situation.source != nil {
					s = situation.source(source)
				}
				r := run(t, s, Config{Workers: 1})
				if situation.begin != nil {
					situation.begin(r, source)
				}
				r.requireStates(map[int]State{1: situation.state})
				f(r, situation.needs)
				require.NoError(t, r.ended())
			})
		})
	}
}

func TestStopWorker(t *testing.T) {
	eachSituation(t, func(r *running, needs time.Duration) {
		begun := time.Now()
		require.NoError(r.t, r.StopWorker(r.t.Context(), 1))
		require.Equal(r.t, needs, time.Since(begun))
		require.Len(r.t, r.Workers(), 1)
		require.Equal(r.t, 2, r.Workers()[0].ID)
		require.False(r.t, r.HasWorker(1))
		require.True(r.t, r.HasWorker(2))
	})
}

func TestKillWorker(t *testing.T) {
	eachSituation(t, func(r *running, needs time.Duration) {
		if needs > 2*time.Second { // work that obeys
			needs = 0
		}
		begun := time.Now()
		status, err := r.KillWorker(r.t.Context(), 1, time.Minute)
		require.NoError(r.t, err)
		require.Equal(r.t, Status{ID: 1, State: Stopped}, status)
		require.Equal(r.t, needs, time.Since(begun))
		require.Len(r.t, r.Workers(), 1)
		require.Equal(r.t, 2, r.Workers()[0].ID)
	})
}

func TestPauseInEverySituation(t *testing.T) {
	eachSituation(t, func(r *running, needs time.Duration) {
		r.Pause()
		time.Sleep(needs)
		r.requireStates(map[int]State{1: Paused})
	})
}

func TestStopInEverySituation(t *testing.T) {
	eachSituation(t, func(r *running, needs time.Duration) {
		begun := time.Now()
		r.Stop(0)
		err := <-r.done
		require.Equal(r.t, needs, time.Since(begun))
		r.done <- err
	})
}

func TestUnknownWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, make(feed), Config{Workers: 1})
		for _, id := range []int{-1, 0, 2} {
			require.ErrorIs(t, r.StopWorker(t.Context(), id), ErrNoWorker)
			_, err := r.KillWorker(t.Context(), id, time.Second)
			require.ErrorIs(t, err, ErrNoWorker)
			_, err = r.Stacks(id)
			require.ErrorIs(t, err, ErrNoWorker)
			require.False(t, r.HasWorker(id))
		}
		require.NoError(t, r.ended())
	})
}

func TestStopWorkerWhoseCallerDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 1})
		source <- unit(1, lasting(time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, r.StopWorker(ctx, 1), context.DeadlineExceeded)
		r.requireStates(map[int]State{1: Stopping})
		time.Sleep(time.Hour)
		r.requireStates(map[int]State{2: Idle})
		require.NoError(t, r.ended())
	})
}

func TestAbandonedWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		var told outcomes
		r := run(t, source, Config{Workers: 1})
		source <- Work{ID: "1", Kind: "import", Run: deaf(time.Hour), Report: told.report}
		synctest.Wait()
		since := time.Now()

		begun := time.Now()
		status, err := r.KillWorker(t.Context(), 1, 3*time.Second)
		require.NoError(t, err)
		require.Equal(t, 3*time.Second, time.Since(begun))
		require.Contains(t, status.Stack, "deaf")
		require.Contains(t, status.Stack, "[sleep]")
		status.Stack = ""
		require.Equal(t, Status{ID: 1, State: Abandoned, Kind: "import", WorkID: "1", BusySince: since}, status)

		r.requireStates(map[int]State{1: Abandoned, 2: Idle})
		source <- unit(2, lasting(time.Second)) // the new one works
		r.requireStates(map[int]State{1: Abandoned, 2: Busy})

		require.ErrorAs(t, r.StopWorker(t.Context(), 1), new(*AbandonedError))
		again, err := r.KillWorker(t.Context(), 1, time.Second)
		require.NoError(t, err)
		require.Equal(t, Abandoned, again.State)
		stacks, err := r.Stacks(1)
		require.NoError(t, err)
		require.Contains(t, stacks[0].Text, "deaf")

		r.mu.Lock()
		gone := r.workers[1]
		r.mu.Unlock()
		time.Sleep(time.Hour)
		r.requireStates(map[int]State{2: Idle})
		require.Equal(t, Status{ID: 1, State: Stopped}, gone.status())
		require.NoError(t, told.once(t))
		require.NoError(t, r.ended())
	})
}

// Whoever waits for a worker to stop hears of its end in every way.
func TestStopWorkerThatIsThenKilled(t *testing.T) {
	for name, test := range map[string]struct {
		work func(context.Context) error
		kill func(*running)
		want any
	}{
		"obeys":     {lasting(time.Hour), func(r *running) { r.Kill(time.Second) }, nil},
		"abandoned": {deaf(time.Hour), func(r *running) { r.Kill(time.Second) }, new(*AbandonedError)},
		"abandoned alone": {deaf(time.Hour), func(r *running) {
			_, err := r.KillWorker(r.t.Context(), 1, time.Second)
			require.NoError(r.t, err)
		}, new(*AbandonedError)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := make(feed)
				r := run(t, source, Config{Workers: 1})
				source <- unit(1, test.work)
				stopped := make(chan error, 1)
				go func() { stopped <- r.StopWorker(t.Context(), 1) }()
				synctest.Wait()
				test.kill(r)
				time.Sleep(time.Second)
				synctest.Wait()
				select {
				case err := <-stopped:
					if test.want == nil {
						require.NoError(t, err)
					} else {
						require.ErrorAs(t, err, test.want)
					}
				default:
					require.Fail(t, "StopWorker still waits")
				}
				time.Sleep(time.Hour) // the deaf one ends
				r.Stop(0)
				<-r.done
			})
		})
	}
}

// The kill goes on when its caller has gone.
func TestKillWorkerWhoseCallerDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 1})
		source <- unit(1, deaf(time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		status, err := r.KillWorker(ctx, 1, time.Minute)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, Stopping, status.State)
		time.Sleep(time.Minute)
		r.requireStates(map[int]State{1: Abandoned, 2: Idle})
		time.Sleep(time.Hour)
		require.NoError(t, r.ended())
	})
}
