package server

import (
	"context"

	"github.com/rs/zerolog"
)

// Quiet takes no new work for good: what the action quiet does, for a program
// whose signal means it. It may be repeated.
func (s *Server) Quiet() {
	if s.advance(Quiet) && s.pool != nil {
		s.pool.Quiet()
	}
}

// LogStacks writes a thread dump of all workers to the logger of ctx, at every
// level but disabled. It may be called at any time.
func (s *Server) LogStacks(ctx context.Context) {
	if s.pool == nil {
		return
	}
	stacks, _ := s.pool.Stacks() // what is missing is said in the text
	for _, stack := range stacks {
		w := stack.Worker
		zerolog.Ctx(ctx).Log().Int("worker_id", w.ID).Str("state", string(w.State)).Str("kind", w.Kind).
			Str("work_id", w.WorkID).Msg("thread dump\n" + stack.Text)
	}
}
