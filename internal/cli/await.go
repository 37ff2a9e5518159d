package cli

import (
	"context"
	"time"

	"github.com/fleetcast/fleetcast/server"
)

// awaitMembers waits until that many servers live, or ctx ends.
func awaitMembers(ctx context.Context, registry *server.Registry, n int) bool {
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		if members, err := registry.Members(ctx); err == nil && len(members) >= n {
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
