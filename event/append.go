package event

import (
	"context"
)

// appendTries bounds how often documents are sent whose acknowledgement was
// lost; their ids make the repetition harmless.
const appendTries = 4

// appendRetrying stores n documents by calls of store, which stores those from
// an index on, up to one that is there already, and returns how many that were.
func appendRetrying(ctx context.Context, n int, store func(from int) (int, error)) error {
	delays := backoff{}
	for stored, failures := 0, 0; stored < n; {
		some, err := store(stored)
		if err == nil {
			stored += some
			continue
		}
		failures++
		if failures == appendTries || !isPassing(err) || ctx.Err() != nil || !delays.wait(ctx) {
			return err
		}
	}
	return nil
}
