package worker

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// State is what a worker is at. The package documentation shows which follows
// which.
type State string

// The states of a worker.
const (
	Starting  State = "starting"  // waits its turn when many start at once
	Idle      State = "idle"      // waits for work, or holds still because the pool is quiet
	Busy      State = "busy"      // runs a unit of work
	Paused    State = "paused"    // holds still because the pool is paused, or its unit does (Hooks.Pause)
	Stopping  State = "stopping"  // was told to leave, and is ending its work
	Stopped   State = "stopped"   // has left
	Abandoned State = "abandoned" // was killed, and its goroutine has not returned
)

// Status is one worker as operators see it at one moment.
type Status struct {
	ID    int // its number, from 1
	State State

	// Kind, WorkID and Description are those of its unit of work; empty when it
	// has none. A worker that is paused, stopping or abandoned may have one.
	Kind, WorkID, Description string

	// BusySince is when the unit began by this process's clock; zero when the
	// worker has none.
	BusySince time.Time

	// Stuck says that the unit has taken longer than Config.StuckAfter.
	Stuck bool

	// Stack is where an abandoned worker hung when it was given up, in the form
	// of [Stack]; empty in all other states.
	Stack string
}

// ErrNoWorker says that the pool has no worker with the given number: it never
// had, or that worker has left.
var ErrNoWorker = errors.New("no such worker")

// AbandonedError names workers whose goroutines did not return although their
// context was cancelled.
type AbandonedError struct {
	Workers []Status // by number
}

// Error implements error; it does not contain the stacks.
func (e *AbandonedError) Error() string {
	var list []string
	for _, w := range e.Workers {
		list = append(list, words("worker", strconv.Itoa(w.ID), w.Kind, w.WorkID))
	}
	return "abandoned, because cancelled work did not end: " + strings.Join(list, ", ")
}

// words joins those that are not empty.
func words(list ...string) string {
	return strings.Join(slices.DeleteFunc(list, func(s string) bool { return s == "" }), " ")
}
