package server_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

// BenchmarkBeat is the cost of a beat, written to the store, with 0 and 100 busy
// workers.
func BenchmarkBeat(b *testing.B) {
	for _, workers := range []int{0, 100} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			f := newFleet(b)
			cfg := named("a")
			cfg.Pool.Workers = workers
			source := works(nil, false)
			if workers == 0 {
				source = nil
			}
			a := f.run(source, cfg)
			f.await("work", func() bool { return f.busy("a") == workers })
			b.ReportAllocs()
			for b.Loop() {
				a.Refresh(b.Context())
			}
			b.StopTimer()
			entry, err := f.db.Collection(server.ServersCollection).FindOne(b.Context(), bson.D{}).Raw()
			require.NoError(b, err)
			b.ReportMetric(float64(len(entry)), "B/entry")
		})
	}
}

// BenchmarkPauseFleet is the time from pause, or resume, until the last of 50
// servers in one process is so, until all have answered that, and until the
// registry shows it.
func BenchmarkPauseFleet(b *testing.B) {
	f := newFleet(b)
	const n = 50
	pools := []running{}
	for i := range n {
		cfg := named(fmt.Sprintf("s-%02d", i))
		cfg.Pool.Workers = 1
		pools = append(pools, f.start(none, cfg))
	}
	f.await("the fleet", func() bool { return len(f.entries()) == n })
	bus, err := event.Open(b.Context(), f.db, event.Config{Directory: f.Registry})
	require.NoError(b, err)
	var last, all time.Duration
	paused := false
	for b.Loop() {
		paused = !paused
		action := map[bool]string{true: "pause", false: "resume"}[paused]
		start := time.Now()
		done := make(chan time.Duration)
		go func() {
			for _, p := range pools {
				p.AwaitPaused(b.Context(), paused)
			}
			done <- time.Since(start)
		}()
		var sum event.Summary
		for range bus.Call(context.Background(), event.New("server", action, nil), event.Wait(patience), event.Summarize(&sum)) {
			continue
		}
		all += time.Since(start)
		last += <-done
		require.Equal(b, n, sum.Done)
	}
	b.ReportMetric(float64(last.Microseconds())/1000/float64(b.N), "ms/last-paused")
	b.ReportMetric(float64(all.Microseconds())/1000/float64(b.N), "ms/all-answered")
}
