package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/worker"
)

func (o *one) configure(change func(*Config)) {
	o.t.Helper()
	changed, err := o.Configure(change)
	require.NoError(o.t, err)
	require.True(o.t, changed)
	synctest.Wait()
}

func (f *fakeLedger) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.beats
}

func TestConfigureHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := run(t, nil, Config{Heartbeat: time.Hour})
		before := o.ledger.count()
		o.configure(func(c *Config) { c.Heartbeat = time.Second })
		_, e := o.ledger.now()
		require.EqualValues(t, 1000, e.Heartbeat.IntervalMS, "told at once, as who is lost is measured by it")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, before+11, o.ledger.count())

		o.configure(func(c *Config) { c.Heartbeat = 0 })
		before = o.ledger.count()
		time.Sleep(DefaultHeartbeat)
		synctest.Wait()
		require.Equal(t, before+1, o.ledger.count(), "zero is the default")
		o.stop()
		require.NoError(t, o.ends())
	})
}

func TestConfigureShutdownTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		work := worker.SourceFunc(func(context.Context, worker.Filter) (worker.Work, error) {
			return worker.Work{Run: func(ctx context.Context) error { <-ctx.Done(); return nil }}, nil
		})
		o := run(t, work, Config{ShutdownTimeout: -1})
		o.configure(func(c *Config) { c.ShutdownTimeout = time.Minute })
		require.Equal(t, time.Minute, took(func() {
			o.stop()
			require.NoError(t, o.ends())
		}))
	})
}

func TestConfigurePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := run(t, lasting, Config{Pool: worker.Config{Workers: 2}})
		o.configure(func(c *Config) { c.Pool.Workers = 5 })
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, o.workers(), 5)

		changed, err := o.Configure(func(c *Config) { c.Heartbeat, c.Pool.Workers = -1, -1 })
		require.False(t, changed)
		require.ErrorContains(t, err, "Heartbeat is -1ns: it may not be negative")
		changed, err = o.Configure(func(c *Config) { c.Heartbeat, c.Pool.Workers = time.Second, -1 })
		require.False(t, changed)
		require.ErrorContains(t, err, "Workers is -1: it may not be negative")
		require.Equal(t, DefaultHeartbeat, o.heartbeat())

		changed, err = o.Configure(func(*Config) {})
		require.NoError(t, err)
		require.False(t, changed)
		o.Kill(time.Second)
		require.ErrorIs(t, o.ends(), ErrKilled)
	})
}
