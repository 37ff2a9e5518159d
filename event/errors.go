package event

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fleetcast/fleetcast/internal/spelling"
)

var (
	// ErrMark is returned by Decode for a document by which a listener marked
	// its position: it is no event.
	ErrMark = errors.New("the document is a position mark, not an event")
	// ErrInvalid is returned by Publish, Call and Match for an event that cannot
	// be published as it is.
	ErrInvalid = errors.New("invalid event")
	// ErrRunning is returned by Run when the Bus is already running or has run.
	ErrRunning = errors.New("the bus runs already, or has run: open another")
	// ErrNoDirectory is returned by Call and Match on a Bus without a Directory.
	ErrNoDirectory = errors.New("the bus cannot know who should answer: set event.Config.Directory (server.NewRegistry)")
)

// MalformedError says that a document in the collection is not an event.
type MalformedError struct {
	Kind   string // what is wrong, from a small set: logged once each
	Detail string
}

func (e *MalformedError) Error() string {
	if e.Detail == "" {
		return "malformed event: " + e.Kind
	}
	return "malformed event: " + e.Kind + ": " + e.Detail
}

// UnknownError says that no process of the fleet knows the subscriber, or the
// subscriber's action.
type UnknownError struct {
	Subscriber string
	Action     string   // empty when the subscriber is unknown
	Known      []string // what there is instead, sorted
}

func (e *UnknownError) Error() string {
	what, name := "subscriber", e.Subscriber
	if e.Action != "" {
		what, name = fmt.Sprintf("action of subscriber %q", e.Subscriber), e.Action
	}
	msg := fmt.Sprintf("unknown %s: %q", what, name)
	if near := nearest(name, e.Known); near != "" {
		msg += fmt.Sprintf("; did you mean %q?", near)
	}
	if len(e.Known) > 0 {
		msg += fmt.Sprintf(" (known: %s)", strings.Join(e.Known, ", "))
	}
	return msg
}

// RefusedError is returned by an action that will not do what it was asked to;
// the answer then is refused, not failed.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// Refuse makes a RefusedError.
func Refuse(format string, args ...any) error {
	return &RefusedError{Reason: fmt.Sprintf(format, args...)}
}

// ParametersError says that an event's parameters do not fit its action.
type ParametersError struct {
	Subscriber, Action string
	Err                error
}

func (e *ParametersError) Error() string {
	return fmt.Sprintf("bad parameters for %s %s: %v", e.Subscriber, e.Action, e.Err)
}

func (e *ParametersError) Unwrap() error { return e.Err }

// PanicError is the failure of an action that panicked.
type PanicError struct {
	Value any
	Stack string // of the goroutine that panicked
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// nearest returns the known name that name is a typing mistake of, if there is one.
func nearest(name string, known []string) string {
	return spelling.Nearest(name, known, len(name)/2)
}
