package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/worker"
)

// Run serves until it is stopped or killed by an event, by Stop or Kill, or
// until ctx ends, which is a Stop. It takes a position in the events, joins the
// registry, works, and leaves the registry when all work has ended. Without the
// database it keeps trying.
//
// It returns nil after a clean stop, [ErrKilled] after a kill, a
// [*worker.AbandonedError] when workers did not end, the error of the stop hook,
// and a [*NameTakenError] when it could not join the registry. It runs once; a
// second call returns [event.ErrRunning].
func (s *Server) Run(ctx context.Context) error {
	ctx, first := s.begin(ctx)
	if !first {
		return fmt.Errorf("a server runs once: %w", event.ErrRunning)
	}
	defer s.topics.close()
	s.tellRequested(start)
	plain := context.WithoutCancel(ctx)
	s.working = s.component(plain, componentWorker)
	busCtx, stopBus := context.WithCancel(s.component(plain, componentEvent))
	ctx = s.component(ctx, componentServer)
	running := context.WithoutCancel(ctx)
	defer stopBus()
	busDone := make(chan error, 1)
	go func() { busDone <- s.bus.Run(busCtx) }()

	err := s.serve(ctx, running)
	left := s.leave(running)
	close(s.drained) // what waits for the end answers now
	stopBus()
	err = errors.Join(err, <-busDone)
	<-left
	if s.ending.wasKilled() {
		err = errors.Join(ErrKilled, err)
	}
	zerolog.Ctx(ctx).Info().Msg("server stopped")
	return err
}

// serve is the server's life between the start and the end of its bus.
func (s *Server) serve(ctx, running context.Context) error {
	defer s.ending.release()
	if !s.enter(ctx) {
		return s.neverStarted(ctx)
	}
	s.tellOutcome(start, nil)
	beating, stopBeats := context.WithCancel(running)
	defer stopBeats()
	var beats sync.WaitGroup
	beats.Go(func() { s.beats.run(beating) })
	beats.Go(func() { s.runSettings(beating) })

	err := s.obeyAndWork(ctx, running)
	s.noteEnd(err)
	s.advance(Stopped)
	s.tellEnd(err)
	stopBeats()
	beats.Wait()
	return err
}

// start is what Run is asked for.
var start = request{change: ChangeStart, by: ByProgram}

var errStoppedBefore = errors.New("the server was stopped before it had started")

// neverStarted ends a server that has not entered the registry: it was told to stop
// before, or its name is taken.
func (s *Server) neverStarted(ctx context.Context) error {
	refused := s.beats.refused
	s.tellOutcome(start, cmp.Or(refused, errStoppedBefore))
	if refused == nil && ctx.Err() != nil {
		s.tellRequested(request{change: ChangeStop, by: ByProgram})
	}
	s.advance(Stopping)
	s.advance(Stopped)
	s.tellEnd(nil)
	return refused
}

// contextEnded stops the server once because Run's context has ended.
func (s *Server) contextEnded() {
	s.byContext.Do(func() { s.Stop(s.shutdownTimeout()) })
}

// enter waits until the bus listens, and enters the registry. It reports whether
// the server is in it; if not, it was told to stop before, or its name is taken.
func (s *Server) enter(ctx context.Context) bool {
	ctx, cancel := s.untilStopped(ctx)
	defer cancel()
	select {
	case <-ctx.Done():
		return false
	case <-s.bus.Listening():
	}
	s.mu.Lock()
	s.started = s.bus.StoreTime()
	s.mu.Unlock()
	s.advance(Running)
	if !s.beats.register(ctx) {
		return false
	}
	s.mu.Lock()
	s.joined = true
	s.mu.Unlock()
	return true
}

// obeyAndWork begins to work when it is known that no hold forbids it.
func (s *Server) obeyAndWork(ctx, running context.Context) error {
	starting, cancel := s.untilStopped(ctx)
	defer cancel()
	if s.awaitHolds(starting) {
		e := s.entry()
		zerolog.Ctx(ctx).Info().Str("server_id", e.ID.Hex()).Bool("paused", e.Paused).Msg("server " + string(e.Lifecycle))
	} else if ctx.Err() != nil {
		s.contextEnded() // before the pool begins
	}
	return s.work(ctx, running)
}

// untilStopped returns a context that also ends when stop or kill is asked for.
func (s *Server) untilStopped(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// work lets the pool work, and waits for it and the stop hook.
func (s *Server) work(ctx, running context.Context) error {
	defer context.AfterFunc(ctx, s.contextEnded)()
	done := make(chan error, 2)
	go func() {
		if s.pool == nil {
			done <- nil
			return
		}
		done <- s.pool.Run(s.working)
	}()
	go func() {
		<-s.stopping
		done <- s.hooks.stop(zerolog.Ctx(running).WithContext(s.ending.ctx), s.ending.gaveUp)
	}()
	return errors.Join(<-done, <-done)
}

// noteEnd notes how the work has ended, for those who have asked for it.
func (s *Server) noteEnd(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
	if abandoned, ok := errors.AsType[*worker.AbandonedError](err); ok {
		for _, w := range abandoned.Workers {
			s.abandoned = append(s.abandoned, w.ID)
		}
	}
}

const (
	// leavePatience is how long after the database went away a server still tries
	// to leave the registry: longer than a fail-over takes, shorter than those
	// who stop a process wait.
	leavePatience = 15 * time.Second
	// killedPatience is the same for a server that was killed.
	killedPatience = 5 * time.Second
	// leaveBriefly bounds the one attempt that is made when the database is away
	// for longer.
	leaveBriefly = time.Second
)

// leave removes the server from the registry, also when it does not know
// whether it has entered. It tries until that succeeds, its patience is over, or
// somebody asks for a kill meanwhile; the server then shows as lost. It returns
// at the latest after showTime; the channel is closed at the end.
func (s *Server) leave(ctx context.Context) <-chan struct{} {
	left := make(chan struct{})
	if !s.beats.tried {
		close(left)
		return left
	}
	go func() {
		defer close(left)
		s.keepLeaving(ctx)
	}()
	soon := time.NewTimer(showTime)
	defer soon.Stop()
	select {
	case <-left:
	case <-soon.C:
	}
	return left
}

func (s *Server) keepLeaving(ctx context.Context) {
	patience := leavePatience
	if s.ending.wasKilled() {
		patience = killedPatience
	}
	from := time.Now()
	if since, fault := s.beats.failing(); fault != nil {
		from = since
	}
	until := from.Add(patience)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.ending.hurry(cancel)
	err := s.tryLeave(ctx, until)
	for delay := 50 * time.Millisecond; err != nil && time.Now().Before(until) && sleep(ctx, delay); delay = min(2*delay, 2*time.Second) {
		err = s.tryLeave(ctx, until)
	}
	if err != nil {
		zerolog.Ctx(ctx).Warn().Err(err).Msg("still in the registry; it will show as lost")
	}
}

func (s *Server) tryLeave(ctx context.Context, until time.Time) error {
	limit := min(beatTimeout, max(leaveBriefly, time.Until(until)))
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.registry.remove(ctx, s.bus.Identity().ServerID)
}
