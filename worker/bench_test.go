package worker

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkCycle is the pool's part of one unit of work: take, run, report.
func BenchmarkCycle(b *testing.B) {
	for _, workers := range []int{1, 10} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			reported := make(chan struct{}, workers)
			empty := Work{
				ID: "1", Kind: "import",
				Run:    func(context.Context) error { return nil },
				Report: func(error) { reported <- struct{}{} },
			}
			f := newFamily(b)
			f.start(b, Config{Workers: workers})
			b.ReportAllocs()
			for b.Loop() {
				for range workers {
					f.feed <- empty
				}
				for range workers {
					<-reported
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*workers), "ns/unit")
		})
	}
}

// BenchmarkStacks is a dump of all workers, each with three goroutines.
func BenchmarkStacks(b *testing.B) {
	for _, workers := range []int{10, 100} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			f := newFamily(b)
			pool := f.start(b, Config{Workers: workers})
			for i := range workers {
				f.work(fmt.Sprint(i), 2, sonOfOne)
			}
			b.ReportAllocs()
			for b.Loop() {
				stacks, err := pool.Stacks()
				require.NoError(b, err)
				require.Len(b, stacks, workers)
			}
		})
	}
}

// BenchmarkWorkers is what every heartbeat asks.
func BenchmarkWorkers(b *testing.B) {
	f := newFamily(b)
	pool := f.start(b, Config{Workers: 100})
	b.ReportAllocs()
	for b.Loop() {
		pool.Workers()
	}
}

// BenchmarkPauseResume is the time until all of 100 idle workers hold still, and
// wait for work again.
func BenchmarkPauseResume(b *testing.B) {
	changed := make(chan struct{}, 1)
	f := newFamily(b)
	pool := f.start(b, Config{Workers: 100, OnChange: func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}})
	until := func(state State) {
		for !all(pool.Workers(), state) {
			<-changed
		}
	}
	until(Idle)
	for b.Loop() {
		pool.Pause()
		until(Paused)
		pool.Resume()
		until(Idle)
	}
}

func all(workers []Status, state State) bool {
	for _, w := range workers {
		if w.State != state {
			return false
		}
	}
	return true
}
