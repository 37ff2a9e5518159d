package worker

import (
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"
)

// Moment is what a [Notice] tells of.
type Moment string

// The moments in the life of a worker and of its units of work.
const (
	WorkerStarted   Moment = "worker started"
	WorkerStopped   Moment = "worker stopped"   // it has left; also one that was abandoned, if its goroutine returns after all
	WorkerAbandoned Moment = "worker abandoned" // it was killed, and its goroutine has not returned
	WorkStarted     Moment = "work started"
	WorkUpdated     Moment = "work updated"  // it describes itself anew, see [Describe]
	WorkFinished    Moment = "work finished" // Run has ended, in whatever way
)

// Notice is one moment in the life of a worker or of its work.
type Notice struct {
	Moment Moment
	At     time.Time
	Worker Status // as it is at this moment, with its unit of work

	// Err is how the work has ended, Took how long it ran, and Cancelled whether its
	// context had ended before it did. All three are of WorkFinished.
	Err       error
	Took      time.Duration
	Cancelled bool
}

// notify tells Config.Observe of a moment of w. The mutex is held, so that all are
// told in the order in which they are.
func (p *Pool) notify(moment Moment, w *worker) {
	if p.cfg.Observe != nil {
		p.observe(Notice{Moment: moment, At: time.Now(), Worker: w.status()})
	}
}

// observe survives what it calls: a worker must not end, nor the mutex stay locked,
// because somebody looks on.
func (p *Pool) observe(n Notice) {
	defer func() {
		if value := recover(); value != nil {
			zerolog.Ctx(p.base).Error().Interface("panic", value).Str(fieldStack, string(debug.Stack())).
				Msg("panic in Config.Observe of the worker pool")
		}
	}()
	p.cfg.Observe(n)
}
