package server

import (
	"context"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/worker"
)

// Topics are where a [Server] tells of its life, to whoever subscribes. It posts
// ([event.Topic.Post]): what a subscriber does or leaves never holds up the listener, a
// worker or the heartbeat; one that is too slow loses the oldest messages of a topic,
// and is told how many. They are closed when Run returns; what was posted before
// reaches those who read on.
type Topics struct {
	event.Topics // Events and Gaps, of the server's bus

	State   *event.Topic[StateNotice]   // what was asked of the server, and what became of it
	Workers *event.Topic[worker.Notice] // started, stopped, abandoned
	Work    *event.Topic[worker.Notice] // started, updated, finished
}

func newTopics() Topics {
	return Topics{
		State:   event.NewTopic[StateNotice]("state"),
		Workers: event.NewTopic[worker.Notice]("workers"),
		Work:    event.NewTopic[worker.Notice]("work"),
	}
}

// close ends the server's own; the bus has ended its topics.
func (t Topics) close() {
	t.State.Close()
	t.Workers.Close()
	t.Work.Close()
}

// Topics returns where the server tells of its life. It is the same at every call;
// subscribe before Run to miss nothing.
func (s *Server) Topics() Topics { return s.topics }

// Change is what can be asked of a server.
type Change string

// The changes of a server's state.
const (
	ChangeStart  Change = "start"
	ChangePause  Change = "pause"
	ChangeResume Change = "resume"
	ChangeQuiet  Change = "quiet"
	ChangeResize Change = "resize"
	ChangeStop   Change = "stop"
	ChangeKill   Change = "kill"
)

// Moment is how far a change has come.
type Moment string

// The moments of a change. Each request is applied or fails, in the sense of the
// answers: also if there is nothing to change. Several requests to stop or kill have
// one end.
const (
	Requested Moment = "requested"
	// Applied: start, the server is in the registry and hears; stop and kill, all work
	// has ended; the others, it is so.
	Applied Moment = "applied"
	Failed  Moment = "failed" // Err says why
)

// Origin is who asks for a change.
type Origin string

// The origins of changes.
const (
	ByEvent    Origin = "event"    // somebody in the fleet
	ByProgram  Origin = "program"  // Run, Stop, Kill, the end of Run's context
	ByHold     Origin = "hold"     // a [Hold] that was in force before
	ByGap      Origin = "gap"      // the desired state, made up for after a gap
	BySettings Origin = "settings" // another number of workers in the live settings
)

// StateNotice is one moment in the life of a server.
type StateNotice struct {
	Moment Moment
	Change Change
	By     Origin
	// Event is what has asked, of ByEvent.
	Event event.Event
	// Lifecycle, Paused and Workers (how many there shall be) are the state at this
	// moment.
	Lifecycle Lifecycle
	Paused    bool
	Workers   int
	// Err is why the change has failed.
	Err error
}

// request is a change that somebody has asked for.
type request struct {
	change Change
	by     Origin
	event  event.Event
}

// requested is a request by the event that ctx belongs to, or else by the program.
func requested(ctx context.Context, change Change) request {
	if e, ok := event.FromContext(ctx); ok {
		return request{change, ByEvent, e}
	}
	return request{change: change, by: ByProgram}
}

func (s *Server) tellRequested(r request) { s.tellState(Requested, r, nil) }

// tellOutcome tells what has become of a request.
func (s *Server) tellOutcome(r request, err error) {
	if err != nil {
		s.tellState(Failed, r, err)
		return
	}
	s.tellState(Applied, r, nil)
}

func (s *Server) tellState(m Moment, r request, err error) {
	n := StateNotice{Moment: m, Change: r.change, By: r.by, Event: r.event, Err: err}
	if s.pool != nil {
		n.Workers = s.pool.Size()
	}
	s.mu.Lock() // notices are in the order of the states that they show
	defer s.mu.Unlock()
	n.Lifecycle, n.Paused = s.lifecycle, s.paused
	if m == Requested && r.ends() {
		if s.lifecycle == Stopped {
			return // it is over: nobody would tell the outcome
		}
		if s.lastEnd.change != ChangeKill { // which a later stop does not take back
			s.lastEnd = r
		}
	}
	s.counts.state(n)
	s.topics.State.Post(n)
}

// ends reports whether the change is the server's end.
func (r request) ends() bool { return r.change == ChangeStop || r.change == ChangeKill }

// perform makes a change that is asked for, and tells of it.
func (s *Server) perform(r request, do func() (changed bool, err error)) (changed bool, err error) {
	s.tellRequested(r)
	changed, err = do()
	s.tellOutcome(r, err)
	return changed, err
}

// tellEnd tells the outcome of all requests to stop and kill, if there were any.
func (s *Server) tellEnd(err error) {
	s.mu.Lock()
	r := s.lastEnd
	s.mu.Unlock()
	if r.ends() {
		s.tellOutcome(r, err)
	}
}

// tellWork passes on what the pool tells. The pool waits for it.
func (s *Server) tellWork(n worker.Notice) {
	s.counts.work(n)
	switch n.Moment {
	case worker.WorkStarted, worker.WorkUpdated, worker.WorkFinished:
		s.topics.Work.Post(n)
	default:
		s.topics.Workers.Post(n)
	}
}
