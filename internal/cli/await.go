package cli

import (
	"context"
	"slices"
	"time"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

// awaitFleet waits until that many servers with so many workers each are in the
// registry, or ctx ends.
func awaitFleet(ctx context.Context, registry *server.Registry, n, workers int) bool {
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		members, err := registry.Members(ctx)
		members = slices.DeleteFunc(members, func(m event.Member) bool { return len(m.Workers) < workers })
		if err == nil && len(members) >= n {
			tick.Stop()
			return true
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return false
		case <-tick.C:
		}
	}
}
