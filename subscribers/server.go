package subscribers

import (
	"context"
	"time"

	"github.com/fleetcast/fleetcast/event"
)

// DefaultKillWait is how long a killed server waits for its workers unless
// [KillParameters] say otherwise.
const DefaultKillWait = 5 * time.Second

// DefaultExpiry is the age at which actions that must not be late are refused,
// unless the event says otherwise.
const DefaultExpiry = time.Minute

// ServerControl is what the server subscriber acts on.
type ServerControl interface {
	// Pause and Resume are harmless when repeated.
	Pause(ctx context.Context) (ServerState, error)
	Resume(ctx context.Context) (ServerState, error)
	// Quiet takes no new work for good.
	Quiet(ctx context.Context) (ServerState, error)
	// Refresh writes the server's state to the registry now.
	Refresh(ctx context.Context) (ServerState, error)
	// Stop begins to stop, and returns when all work has ended or ctx has. A nil
	// timeout means the server's own.
	Stop(ctx context.Context, timeout *time.Duration) (ServerState, error)
	// Kill cancels all work, waits at most that long, and returns.
	Kill(ctx context.Context, wait time.Duration) (ServerState, error)
	// Resize changes how many workers there are.
	Resize(ctx context.Context, maxWorkers int) (ServerState, error)
	// ThreadDump returns the stacks of all workers, or of the whole process, and
	// logs them.
	ThreadDump(ctx context.Context, process bool) (Dump, error)
}

// ServerState is the result of the actions that change a server's state.
type ServerState struct {
	Lifecycle string `bson:"lifecycle" json:"lifecycle"`
	Paused    bool   `bson:"paused" json:"paused"`
	Busy      int    `bson:"busy" json:"busy"` // workers at work
	// MaxWorkers is how many workers there shall be; 0 for a server without.
	MaxWorkers int `bson:"max_workers,omitempty" json:"max_workers,omitempty"`
	// Note says for people what happened, such as "already paused".
	Note string `bson:"note,omitempty" json:"note,omitempty"`
	// Abandoned are the numbers of the workers that did not end.
	Abandoned []int `bson:"abandoned,omitempty" json:"abandoned,omitempty"`
}

// PauseParameters are those of server pause.
type PauseParameters struct {
	// Sticky makes the pause a hold that servers obey which start later, until a
	// resume. The publisher's Directory notes it (server.Registry), not the server.
	Sticky bool `bson:"sticky,omitempty" json:"sticky,omitempty" doc:"hold back servers that start later, too, until resume"`
}

// ResizeParameters are those of server resize.
type ResizeParameters struct {
	// MaxWorkers is how many workers there shall be, at least 1. Required.
	MaxWorkers int `bson:"max_workers" json:"max_workers" validate:"min=1" doc:"how many workers there shall be"`
}

// StopParameters are those of server stop.
type StopParameters struct {
	// Timeout is how long work may go on before it is cancelled; 0 means
	// without limit. Default: the server's own.
	Timeout *Duration `bson:"timeout,omitempty" json:"timeout,omitempty" doc:"how long work may go on before it is cancelled, 0 = without limit (default: the server's own)"`
}

// KillParameters are those of server kill.
type KillParameters struct {
	// WaitTimeout is how long cancelled work may take to end. Default 5 s.
	WaitTimeout Duration `bson:"wait_timeout" json:"wait_timeout" doc:"how long cancelled work may take to end"`
}

// SetDefaults implements event.Defaulter.
func (p *KillParameters) SetDefaults() { p.WaitTimeout = Duration(DefaultKillWait) }

// Server is the subscriber "server".
type Server struct{ Control ServerControl }

// Name implements event.Subscriber.
func (s *Server) Name() string { return "server" }

// Actions implements event.Subscriber. Stop and kill wait for work to end, and
// a dump may be wanted meanwhile: they run beside the others.
func (s *Server) Actions() []event.Action {
	return []event.Action{
		event.On("ping", func(context.Context, event.None) error { return nil }, event.Concurrent(),
			event.ExpiresAfter(DefaultExpiry), event.Doc("answer")),
		event.OnResult("pause", s.pause, event.Doc("take no new work until resume; current work finishes")),
		event.OnResult("resume", s.resume, event.Doc("take work again after pause")),
		event.OnResult("quiet", s.quiet, event.Doc("take no new work for good; current work finishes, the server stays")),
		event.OnResult("refresh", s.refresh, event.Doc("write the server's state to the registry now")),
		event.OnResult("resize", s.resize, event.Doc("change the number of workers; those too many finish their work first")),
		event.OnResult("stop", s.stop, event.Concurrent(), event.Doc("finish current work and exit")),
		event.OnResult("kill", s.kill, event.Concurrent(), event.ExpiresAfter(DefaultExpiry), event.Doc("cancel current work and exit")),
		event.OnResult("thread_dump", s.threadDump, event.Concurrent(), event.ExpiresAfter(DefaultExpiry),
			event.Doc("write the stack of each worker, or those of the whole process, to the log, and answer with them")),
	}
}

func (s *Server) pause(ctx context.Context, _ PauseParameters) (ServerState, error) {
	return s.Control.Pause(ctx)
}

func (s *Server) resume(ctx context.Context, _ event.None) (ServerState, error) {
	return s.Control.Resume(ctx)
}

func (s *Server) quiet(ctx context.Context, _ event.None) (ServerState, error) {
	return s.Control.Quiet(ctx)
}

func (s *Server) refresh(ctx context.Context, _ event.None) (ServerState, error) {
	return s.Control.Refresh(ctx)
}

func (s *Server) resize(ctx context.Context, p ResizeParameters) (ServerState, error) {
	return s.Control.Resize(ctx, p.MaxWorkers)
}

func (s *Server) stop(ctx context.Context, p StopParameters) (ServerState, error) {
	return s.Control.Stop(ctx, (*time.Duration)(p.Timeout))
}

func (s *Server) kill(ctx context.Context, p KillParameters) (ServerState, error) {
	return s.Control.Kill(ctx, time.Duration(p.WaitTimeout))
}

func (s *Server) threadDump(ctx context.Context, p DumpParameters) (Dump, error) {
	return s.Control.ThreadDump(ctx, p.Process)
}
