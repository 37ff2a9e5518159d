package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/subscribers"
	"github.com/fleetcast/fleetcast/worker"
)

// Defaults of Config.
const (
	DefaultHeartbeat       = 15 * time.Second
	DefaultShutdownTimeout = 30 * time.Second
)

// ErrKilled is returned by Run when the server was killed: its work was
// cancelled.
var ErrKilled = errors.New("the server was killed")

// Config configures a Server. The zero value works.
type Config struct {
	// Bus configures the bus; its Identity is the server's (name, labels). The
	// Directory is set by Open.
	Bus event.Config
	// Pool configures the workers.
	Pool worker.Config
	// Version of the program, shown in the registry.
	Version string
	// Heartbeat is the time between beats. Default 15 s.
	Heartbeat time.Duration
	// ShutdownTimeout is how long current work may go on after a stop before it
	// is cancelled. Default 30 s; negative means without limit.
	ShutdownTimeout time.Duration
	// Logger is what the logger subscriber acts on; nil means that there is none.
	Logger subscribers.LoggerControl
}

// Server is one process of the fleet, or one of several in it.
type Server struct {
	cfg      Config
	bus      *event.Bus
	registry *Registry
	pool     *worker.Pool // nil without a source
	beats    *beater

	drained chan struct{} // closed when all work has ended and the registry is left

	mu        sync.Mutex
	lifecycle Lifecycle
	paused    bool
	killed    bool
	joined    bool          // it is in the registry
	applied   bool          // a pause or resume was applied, which the next beat notes as desired
	stopping  chan struct{} // closed when stop or kill is asked for
	started   time.Time
	abandoned []int
}

// Open connects a server to the database, creating what is missing there. The
// workers take their work from source; with a nil source the server has none,
// and listens only. Nothing runs before Run.
func Open(ctx context.Context, db *mongo.Database, source worker.Source, cfg Config) (*Server, error) {
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, DefaultHeartbeat)
	cfg.ShutdownTimeout = cmp.Or(cfg.ShutdownTimeout, DefaultShutdownTimeout)
	if err := checkLabels(cfg.Bus.Identity.Labels); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, registry: NewRegistry(db), lifecycle: Starting,
		drained: make(chan struct{}), stopping: make(chan struct{}),
	}
	s.beats = newBeater(s)
	if err := s.makePool(source); err != nil {
		return nil, err
	}
	s.cfg.Bus.Directory = s.registry
	s.cfg.Bus.Identity.HasWorker = s.hasWorker
	bus, err := event.Open(ctx, db, s.cfg.Bus)
	if err != nil {
		return nil, err
	}
	s.bus = bus
	return s, s.subscribe()
}

func (s *Server) makePool(source worker.Source) (err error) {
	if source == nil {
		return nil
	}
	cfg := s.cfg.Pool
	theirs := cfg.OnChange
	cfg.OnChange = func() {
		s.beats.soon()
		if theirs != nil {
			theirs()
		}
	}
	s.pool, err = worker.New(source, cfg)
	return err
}

func (s *Server) subscribe() error {
	all := []event.Subscriber{&serverSubscriber{subscribers.Server{Control: (*control)(s)}, (*control)(s)}}
	if s.pool != nil {
		all = append(all, &subscribers.Worker{Control: (*control)(s)})
	}
	if s.cfg.Logger != nil {
		all = append(all, &subscribers.Logger{Control: s.cfg.Logger})
	}
	for _, one := range all {
		if _, err := s.bus.Subscribe(one); err != nil {
			return err
		}
	}
	return nil
}

// checkLabels refuses what cannot be a key in every MongoDB.
func checkLabels(labels map[string]string) error {
	for key := range labels {
		if key == "" || strings.ContainsAny(key, ".$\x00") {
			return fmt.Errorf("label key %q: a key is not empty and has no '.' or '$'", key)
		}
	}
	return nil
}

// Bus returns the server's bus: subscribe to it before Run, publish at any time.
func (s *Server) Bus() *event.Bus { return s.bus }

// Run serves until it is stopped or killed by an event, by Stop or Kill, or
// until ctx ends, which is a Stop. It takes a position in the events, joins the
// registry, works, and leaves the registry when all work has ended. Without the
// database it keeps trying.
//
// It returns nil after a clean stop, [ErrKilled] after a kill, a
// [*worker.AbandonedError] when workers did not end, and a [*NameTakenError]
// when it could not join the registry. It runs once.
func (s *Server) Run(ctx context.Context) error {
	log := zerolog.Ctx(ctx).With().Str("server", s.bus.Identity().Name).Logger()
	ctx = log.WithContext(ctx)
	running := context.WithoutCancel(ctx)

	busCtx, stopBus := context.WithCancel(running)
	defer stopBus()
	busDone := make(chan error, 1)
	go func() { busDone <- s.bus.Run(busCtx) }()

	err := s.serve(ctx, running)
	if err != nil && !errors.As(err, new(*worker.AbandonedError)) {
		log.Error().Err(err).Msg("the server ends")
	}
	close(s.drained)
	stopBus()
	err = errors.Join(err, <-busDone)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killed {
		err = errors.Join(ErrKilled, err)
	}
	log.Info().Msg("server stopped")
	return err
}

// serve is the server's life between the start and the end of its bus.
func (s *Server) serve(ctx, running context.Context) error {
	if !s.join(ctx) {
		s.advance(Stopping)
		s.advance(Stopped)
		return s.beats.fault
	}
	beating, stopBeats := context.WithCancel(running)
	defer stopBeats()
	var beats sync.WaitGroup
	beats.Go(func() { s.beats.run(beating) })

	err := s.work(ctx, running)
	s.noteAbandoned(err)
	s.advance(Stopped)
	stopBeats()
	beats.Wait()
	s.leave(running)
	return err
}

// join waits until the bus listens, and enters the registry. It reports whether
// the server is in it; if not, it was told to stop before, or its name is taken.
func (s *Server) join(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
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
	zerolog.Ctx(ctx).Info().Str("server_id", s.bus.Identity().ServerID.Hex()).Msg("server running")
	return true
}

// work runs the pool until it is stopped.
func (s *Server) work(ctx, running context.Context) error {
	done := make(chan error, 1)
	go func() {
		if s.pool == nil {
			<-s.stopping
			done <- nil
			return
		}
		done <- s.pool.Run(running)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		s.Stop(s.cfg.ShutdownTimeout)
		return <-done
	}
}

func (s *Server) noteAbandoned(err error) {
	var abandoned *worker.AbandonedError
	if !errors.As(err, &abandoned) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range abandoned.Workers {
		s.abandoned = append(s.abandoned, w.ID)
	}
}

// leave removes the server from the registry; if the database is away it stays
// there and is lost after a while.
func (s *Server) leave(ctx context.Context) {
	limit := beatTimeout
	if s.beats.failing { // do not hold up the end of the process for long
		limit = time.Second
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := s.registry.remove(bounded, s.bus.Identity().ServerID); err != nil {
		zerolog.Ctx(ctx).Warn().Err(err).Msg("still in the registry; it will show as lost")
	}
}

// Stop finishes the current work, which is cancelled after timeout (0 or less:
// never), and lets Run return. It returns at once and may be repeated: a
// shorter time-out hurries.
func (s *Server) Stop(timeout time.Duration) {
	s.end(false)
	if s.pool != nil {
		s.pool.Stop(max(0, timeout))
	}
}

// Kill cancels the current work, waits for it at most that long, and lets Run
// return ErrKilled. It returns at once.
func (s *Server) Kill(wait time.Duration) {
	s.end(true)
	if s.pool != nil {
		s.pool.Kill(wait)
	}
}

func (s *Server) end(kill bool) {
	s.mu.Lock()
	s.killed = s.killed || kill
	first := s.lifecycle.mayBecome(Stopping)
	if first {
		s.lifecycle = Stopping
		close(s.stopping)
	}
	s.mu.Unlock()
	s.beats.now()
}

// advance moves on to the next stage if it may follow, and says whether it did.
func (s *Server) advance(next Lifecycle) bool {
	s.mu.Lock()
	ok := s.lifecycle.mayBecome(next)
	if ok {
		s.lifecycle = next
	}
	s.mu.Unlock()
	if ok {
		s.beats.now()
	}
	return ok
}

func (s *Server) workers() []worker.Status {
	if s.pool == nil {
		return nil
	}
	return s.pool.Workers()
}

func (s *Server) hasWorker(id int) bool { return s.pool != nil && s.pool.HasWorker(id) }
