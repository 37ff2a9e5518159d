package worker

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// asked is a source without work that notes the filters it was asked with.
type asked struct {
	takes  atomic.Int32
	filter atomic.Pointer[Filter]
	wait   bool // until interrupted
}

func (a *asked) Take(ctx context.Context, f Filter) (Work, error) {
	a.takes.Add(1)
	a.filter.Store(&f)
	if a.wait {
		<-ctx.Done()
		return Work{}, ctx.Err()
	}
	return Work{}, ErrNoWork
}

func (r *running) configure(change func(*Config)) {
	r.t.Helper()
	changed, err := r.Configure(change)
	require.NoError(r.t, err)
	require.True(r.t, changed)
	synctest.Wait()
}

func TestConfigureFilter(t *testing.T) {
	for name, wait := range map[string]bool{"while a Take waits": true, "between Takes": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := &asked{wait: wait}
				r := run(t, source, Config{Workers: 1, PollInterval: time.Hour})
				synctest.Wait()
				r.configure(func(c *Config) {
					c.Filter.Include = []string{"mail"}
					c.Filter.Where = map[string]any{"priority": 1}
				})
				require.Equal(t, Filter{Include: []string{"mail"}, Where: map[string]any{"priority": 1}}, *source.filter.Load())
				require.EqualValues(t, 2, source.takes.Load(), "asked again at once")
				changed, err := r.Configure(func(c *Config) { c.Filter.Include = []string{"mail"} })
				require.NoError(t, err)
				require.False(t, changed)
				require.NoError(t, r.ended())
			})
		})
	}
}

func TestConfigurePollInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &asked{}
		r := run(t, source, Config{Workers: 1, PollInterval: time.Hour})
		synctest.Wait()
		r.configure(func(c *Config) { c.PollInterval = time.Second })
		require.EqualValues(t, 2, source.takes.Load())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 12, source.takes.Load())
		r.configure(func(c *Config) { c.PollInterval = 0 })
		time.Sleep(defaultPollInterval - 1)
		require.EqualValues(t, 13, source.takes.Load(), "zero is the default")
		require.NoError(t, r.ended())
	})
}

func TestConfigureStuckAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 1})
		source <- Work{Run: lasting(time.Hour)}
		stuck := func() bool { synctest.Wait(); return r.Workers()[0].Stuck }
		time.Sleep(time.Minute)
		require.False(t, stuck())
		r.configure(func(c *Config) { c.StuckAfter = 30 * time.Second })
		require.True(t, stuck(), "it has been for longer")
		r.configure(func(c *Config) { c.StuckAfter = 2 * time.Minute })
		require.False(t, stuck())
		time.Sleep(time.Minute)
		require.True(t, stuck())
		r.configure(func(c *Config) { c.StuckAfter = 0 })
		require.False(t, stuck())
		require.NoError(t, r.ended())
	})
}

func TestConfigureGraceAndRecheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := make(feed)
		r := run(t, source, Config{Workers: 1})
		working := make(chan context.Context)
		source <- Work{Run: func(ctx context.Context) error {
			working <- ctx
			time.Sleep(time.Minute) // deaf to its cancellation
			return nil
		}}
		ctx := <-working
		require.Equal(t, time.Minute, Recheck(ctx))
		r.configure(func(c *Config) { c.Recheck, c.Grace = time.Second, 20*time.Second })
		require.Equal(t, time.Second, Recheck(ctx))
		require.Zero(t, Recheck(t.Context()), "no worker's")

		start := time.Now()
		r.Stop(10 * time.Second)
		require.Error(t, r.result())
		require.Equal(t, 30*time.Second, time.Since(start))
		time.Sleep(time.Minute) // until the work ends
	})
}

func TestConfigureRefusesAllOrNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, &asked{}, Config{Workers: 2})
		changed, err := r.Configure(func(c *Config) {
			c.Workers, c.PollInterval, c.Filter.Include = 7, -1, []string{"["}
		})
		require.False(t, changed)
		require.ErrorContains(t, err, "PollInterval is -1ns: it may not be negative")
		require.ErrorContains(t, err, `pattern "["`)
		require.Equal(t, 2, r.Size())
		require.NoError(t, r.ended())

		changed, err = r.Configure(func(c *Config) { c.Workers = 3 })
		require.NoError(t, err)
		require.False(t, changed, "it has ended")
	})
}
