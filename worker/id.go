package worker

import "context"

type idKey struct{}

// ID returns the number of the worker that ctx belongs to: that of Source.Take,
// of Work.Run and of Hooks, or one that comes from these. False means that ctx
// is not a worker's.
func ID(ctx context.Context) (id int, ok bool) {
	id, ok = ctx.Value(idKey{}).(int)
	return id, ok
}

func withID(ctx context.Context, id int) context.Context { return context.WithValue(ctx, idKey{}, id) }
