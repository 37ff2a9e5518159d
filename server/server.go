package server

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/subscribers"
	"github.com/fleetcast/fleetcast/worker"
)

// ErrKilled is returned by Run when the server was killed: its work was
// cancelled.
var ErrKilled = errors.New("the server was killed")

// Server is one process of the fleet, or one of several in it. Its methods are
// safe for concurrent use.
type Server struct {
	cfg      Config
	given    Config // before its settings were followed
	bus      *event.Bus
	registry ledger
	pool     *worker.Pool // nil without a source
	hooks    *hooks
	beats    *beater
	ending   *ending
	topics   Topics
	counts   *counts

	working context.Context // of the pool; set by Run

	byContext sync.Once // the stop at the end of Run's context

	drained chan struct{} // closed when all work has ended and the registry is left

	configuring sync.Mutex // held by Configure
	following   sync.Mutex // held by followSettings; it guards the next
	followed    followed   // what was last taken of the settings

	mu        sync.Mutex
	now       Config          // Heartbeat and ShutdownTimeout, as Configure has left them
	base      context.Context // of Run, without its end; nil before
	table     description     // as of the start of Run
	lifecycle Lifecycle
	paused    bool
	joined    bool          // it has entered the registry
	told      Desired       // what was applied of events, which the next beat notes as desired
	toldAt    time.Time     // when it was last paused or resumed, by the database's clock
	stopping  chan struct{} // closed when stop or kill is asked for
	started   time.Time
	abandoned []int
	fault     error   // of the work's end
	lastEnd   request // the last stop or kill that counts
}

// ledger is what a running server needs of the registry.
type ledger interface {
	register(ctx context.Context, e Entry) error
	beat(ctx context.Context, e Entry) error
	remove(ctx context.Context, id bson.ObjectID) error
	desired(ctx context.Context, id bson.ObjectID) (Desired, error)
	Holds(ctx context.Context) ([]Hold, error)
}

var _ ledger = (*Registry)(nil)

// Open connects a server to the database, creating what is missing there. The
// workers take their work from source; with a nil source the server has none,
// and listens only. Nothing runs before Run.
//
// It tries for 15 s through a fail-over, as [event.Open] does.
func Open(ctx context.Context, db *mongo.Database, source worker.Source, cfg Config) (*Server, error) {
	registry := NewRegistry(db)
	registry.trail.keep = cfg.AuditKeep
	s, err := newServer(source, registry, cfg)
	if err != nil {
		return nil, err
	}
	s.cfg.Bus.Directory = registry
	bus, err := event.Open(ctx, db, s.cfg.Bus)
	if err != nil {
		return nil, err
	}
	return s, s.join(bus)
}

// newServer makes a server without a bus.
func newServer(source worker.Source, registry ledger, cfg Config) (*Server, error) {
	if err := errors.Join(checkLabels(cfg.Bus.Identity.Labels), checkAuditKeep(cfg.AuditKeep), checkHeartbeat(cfg.Heartbeat)); err != nil {
		return nil, err
	}
	given := cfg.withDefaults()
	s := &Server{
		cfg: given.withSettings(), given: given, registry: registry, lifecycle: Starting,
		hooks: newHooks(cfg.Hooks), ending: newEnding(),
		topics: newTopics(), counts: newCounts(),
		drained: make(chan struct{}), stopping: make(chan struct{}),
	}
	s.now = s.cfg
	s.beats = newBeater(s)
	s.cfg.Bus.Identity.HasWorker = s.hasWorker
	s.cfg.Bus.Observe = both(s.counts.event, s.cfg.Bus.Observe)
	return s, errors.Join(s.makePool(source), s.startSettings())
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
	cfg.Observe = both(s.tellWork, cfg.Observe)
	s.pool, err = worker.New(source, cfg)
	return err
}

// both calls ours, and theirs if there is one.
func both[T any](ours, theirs func(T)) func(T) {
	if theirs == nil {
		return ours
	}
	return func(v T) { ours(v); theirs(v) }
}

// join subscribes the server to its bus.
func (s *Server) join(bus *event.Bus) error {
	s.bus, s.topics.Topics = bus, bus.Topics()
	all := []event.Subscriber{&serverSubscriber{subscribers.Server{Control: (*control)(s)}, (*control)(s)}}
	if s.pool != nil {
		all = append(all, &subscribers.Worker{Control: (*control)(s)})
	}
	if levels := s.cfg.Logger; levels != nil {
		s.makeComponents()
		all = append(all, &loggerSubscriber{subscribers.Logger{Control: levelControl{levels, s}}, s})
	}
	if settings := s.given.Settings; settings != nil {
		all = append(all, subscribers.NewConfig(liveSettings{settings, s}))
	}
	for _, one := range all {
		if _, err := bus.Subscribe(one); err != nil {
			return err
		}
	}
	return nil
}

// Bus returns the server's bus: subscribe to it before Run, publish at any time.
func (s *Server) Bus() *event.Bus { return s.bus }

// Stop finishes the current work, which is cancelled after timeout (0 or less:
// never), and lets Run return. It returns at once and may be repeated: a
// shorter time-out hurries.
func (s *Server) Stop(timeout time.Duration) {
	s.stop(timeout, request{change: ChangeStop, by: ByProgram})
}

func (s *Server) stop(timeout time.Duration, r request) {
	s.tellRequested(r)
	s.end()
	s.ending.cancelAfter(timeout, s.grace())
	if s.pool != nil {
		s.pool.Stop(max(0, timeout))
	}
}

// Kill cancels the current work, waits for it at most that long, and lets Run
// return ErrKilled. It returns at once.
func (s *Server) Kill(wait time.Duration) { s.kill(wait, request{change: ChangeKill, by: ByProgram}) }

func (s *Server) kill(wait time.Duration, r request) {
	s.tellRequested(r)
	s.ending.kill(wait)
	s.end()
	if s.pool != nil {
		s.pool.Kill(wait)
	}
}

func (s *Server) grace() time.Duration {
	if s.pool != nil {
		return s.pool.Config().Grace
	}
	return cmp.Or(s.cfg.Pool.Grace, hookGrace)
}

func (s *Server) end() {
	s.mu.Lock()
	if s.lifecycle.mayBecome(Stopping) {
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

func (s *Server) stage() Lifecycle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lifecycle
}

func (s *Server) inRegistry() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.joined
}

// context is Run's without its end, and carries its logger.
func (s *Server) context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.base == nil {
		return context.Background()
	}
	return s.base
}

func (s *Server) workers() []worker.Status {
	if s.pool == nil {
		return nil
	}
	return s.pool.Workers()
}

func (s *Server) hasWorker(id int) bool { return s.pool != nil && s.pool.HasWorker(id) }

// begin notes that Run runs, which it does once.
func (s *Server) begin(ctx context.Context) (context.Context, bool) {
	log := zerolog.Ctx(ctx).With().Str("server", s.bus.Identity().Name).Logger()
	ctx = log.WithContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.base != nil {
		return ctx, false
	}
	s.base = context.WithoutCancel(s.component(ctx, componentServer))
	s.table = newDescription(s.bus.Table(), s.declarations())
	return ctx, true
}
