package worker

import (
	"context"
	"time"
)

type idKey struct{}

// ID returns the number of the worker that ctx belongs to: that of Source.Take,
// of Work.Run and of Hooks, or one that comes from these. False means that ctx
// is not a worker's.
func ID(ctx context.Context) (id int, ok bool) {
	w, ok := ctx.Value(idKey{}).(*worker)
	if !ok {
		return 0, false
	}
	return w.id, true
}

// Recheck returns how long work that has many parts may go on with them before it
// looks whether something more urgent waits, or the rest was taken from it:
// Config.Recheck as it is now, so ask at each part. ctx is as for [ID]; zero means
// that it is not a worker's.
func Recheck(ctx context.Context) time.Duration {
	w, ok := ctx.Value(idKey{}).(*worker)
	if !ok {
		return 0
	}
	return w.pool.Config().Recheck
}
