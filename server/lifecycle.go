package server

import "slices"

// Lifecycle is how far a server has come. It never goes backwards.
type Lifecycle string

// The stages of a server's life.
const (
	Starting Lifecycle = "starting" // not listening yet
	Running  Lifecycle = "running"
	Quiet    Lifecycle = "quiet"    // takes no new work, for good
	Stopping Lifecycle = "stopping" // finishes its work, then ends
	Stopped  Lifecycle = "stopped"
)

// transitions is the only place that knows which stage may follow which.
var transitions = map[Lifecycle][]Lifecycle{
	Starting: {Running, Quiet, Stopping},
	Running:  {Quiet, Stopping},
	Quiet:    {Stopping},
	Stopping: {Stopped},
}

// mayBecome reports whether next may follow l.
func (l Lifecycle) mayBecome(next Lifecycle) bool { return slices.Contains(transitions[l], next) }
