package server

import (
	"context"
	"time"
)

// Refresh beats, and returns when that is written.
func (s *Server) Refresh(ctx context.Context) { s.beats.show(ctx) }

// AwaitPaused returns when the server's pool is paused, or not.
func (s *Server) AwaitPaused(ctx context.Context, paused bool) {
	for s.pool.Paused() != paused && sleep(ctx, 50*time.Microsecond) {
		continue
	}
}
