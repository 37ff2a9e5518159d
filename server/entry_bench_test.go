package server

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/worker"
)

// BenchmarkEntry is what a beat costs the server itself, with 100 busy workers:
// looking at them, and the update's document.
func BenchmarkEntry(b *testing.B) {
	const n = 100
	s, err := newServer(lasting, &fakeLedger{}, Config{Pool: worker.Config{Workers: n}})
	require.NoError(b, err)
	require.NoError(b, s.join(event.NewBus(eventtest.NewLog(0), eventtest.NewLog(0), s.cfg.Bus)))
	done := make(chan error, 1)
	go func() { done <- s.pool.Run(b.Context()) }()
	require.Eventually(b, func() bool { return len(busy(s.workers())) == n }, 10*time.Second, time.Millisecond)
	b.ReportAllocs()
	for b.Loop() {
		doc, err := bson.Marshal(beatFields(s.entry()))
		require.NoError(b, err)
		b.SetBytes(int64(len(doc)))
	}
	s.pool.Kill(0)
	require.NoError(b, <-done)
}

func busy(workers []worker.Status) (list []worker.Status) {
	for _, w := range workers {
		if w.State == worker.Busy {
			list = append(list, w)
		}
	}
	return list
}
