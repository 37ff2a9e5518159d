package server

import (
	"bytes"
	"context"
	"runtime/pprof"

	"github.com/rs/zerolog"

	"github.com/fleetcast/fleetcast/worker"
)

// Quiet takes no new work for good: what the action quiet does, for a program
// whose signal means it. Current work finishes, and the server stays until it is
// stopped. It returns when the server is quiet; a hook's error is logged, and
// leaves it as it was. It may be repeated, and called before Run.
func (s *Server) Quiet() {
	ctx := s.context()
	if _, err := s.quiet(ctx); err != nil {
		zerolog.Ctx(ctx).Error().Err(err).Msg("the server is not quiet")
	}
}

// LogStacks writes a thread dump of all workers to the logger of ctx, at every
// level but disabled; of all goroutines of the process when the server has no
// workers. It may be called at any time.
func (s *Server) LogStacks(ctx context.Context) {
	log := zerolog.Ctx(ctx)
	if s.pool == nil {
		log.Log().Msg("thread dump\n" + processStacks())
		return
	}
	stacks, _ := s.pool.Stacks() // fails for unknown numbers only
	for _, stack := range stacks {
		logStack(log, stack)
	}
}

// logStack writes one worker's thread dump, at every level but disabled: whoever
// asks for it wants it.
func logStack(log *zerolog.Logger, stack worker.Stack) {
	w := stack.Worker
	log.Log().Int("worker_id", w.ID).Str("state", string(w.State)).Str("kind", w.Kind).
		Str("work_id", w.WorkID).Str("description", w.Description).Msg("thread dump\n" + stack.Text)
}

// processStacks returns the stacks of all goroutines of the process.
func processStacks() string {
	var text bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		return "no stacks: " + err.Error()
	}
	return text.String()
}
