package subscribers

import (
	"fmt"
	"time"

	"github.com/fleetcast/fleetcast/internal/stacks"
)

// DumpParameters are those of server thread_dump.
type DumpParameters struct {
	// Process asks for all goroutines of the process instead of the workers'.
	Process bool `bson:"process,omitempty" json:"process,omitempty" doc:"all goroutines of the process instead of the workers'"`
}

// Dump is the result of thread_dump of workers and of servers.
type Dump struct {
	Workers []WorkerStack `bson:"workers" json:"workers"`
	// Process is there instead if it was asked for.
	Process *ProcessStacks `bson:"process,omitempty" json:"process,omitempty"`
}

// WorkerStack is what one worker is doing.
type WorkerStack struct {
	ID     int    `bson:"id" json:"id"`
	State  string `bson:"state" json:"state"`
	Kind   string `bson:"kind,omitempty" json:"kind,omitempty"`
	WorkID string `bson:"work_id,omitempty" json:"work_id,omitempty"`
	// Description is what the work says of itself, or where it says it is.
	Description string `bson:"description,omitempty" json:"description,omitempty"`
	// BusySince is when its unit of work began by the server's clock; the zero time
	// when it has none.
	BusySince time.Time `bson:"busy_since,omitempty" json:"busy_since,omitzero"`
	// Stack has all goroutines that the worker and its work have started: the
	// runtime's own traceback, or, if that cannot tell whose they are, a text for
	// people. For a child process it is what that has printed.
	Stack string `bson:"stack" json:"stack"`
	// Cut is how many goroutines were left out, because the dump became too large.
	// What another program has printed ends with a line that says so instead.
	Cut int `bson:"cut,omitempty" json:"cut,omitempty"`
}

// MaxDump bounds the text of one dump, in bytes; whole goroutines are left out
// beyond that, and counted.
const MaxDump = 8 << 20

// maxPlaces bounds ProcessStacks.Places, in bytes.
const maxPlaces = 1 << 20

// ProcessStacks is the result of logger thread_dump: the runtime's own traceback of
// all goroutines of a process.
type ProcessStacks struct {
	Goroutines int    `bson:"goroutines" json:"goroutines"` // in the process
	Stacks     string `bson:"stacks" json:"stacks"`
	// Cut is how many goroutines are not in Stacks, because it became too large.
	Cut int `bson:"cut,omitempty" json:"cut,omitempty"`
	// Places is there when something was cut: how many of all goroutines are where,
	// in the format of the goroutine profile, at most 1 MiB.
	Places string `bson:"places,omitempty" json:"places,omitempty"`
}

// TakeStacks returns the stacks of this process. The world stands still meanwhile:
// some milliseconds for a thousand goroutines.
func TakeStacks() ProcessStacks {
	text, missing := stacks.Take(MaxDump)
	p := ProcessStacks{Goroutines: stacks.Count(text) + missing, Stacks: text, Cut: missing}
	if missing > 0 {
		p.Places = stacks.Places(maxPlaces)
	}
	return p
}

// Log returns what is logged of it.
func (p ProcessStacks) Log() string {
	if p.Cut == 0 {
		return "thread dump\n" + p.Stacks
	}
	return fmt.Sprintf("thread dump\n%s\n… and %d goroutines more: the dump was too large. Where all are:\n\n%s", p.Stacks, p.Cut, p.Places)
}
