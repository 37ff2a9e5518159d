package server

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/subscribers"
	"github.com/fleetcast/fleetcast/worker"
)

// The tests in package server run one server in a bubble, on a log and a
// registry in memory; those in server_test run fleets on a store.

// fakeLedger is a registry of one server. fail, if set, decides the outcome of
// each call.
type fakeLedger struct {
	mu      sync.Mutex
	fail    func(what string) error
	present bool
	entry   Entry
	noted   Desired // what publishers, or the server, have noted
	holds   []Hold
	beats   int
	removed int // attempts
}

func (f *fakeLedger) call(what string, do func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	if f.fail != nil {
		err = f.fail(what)
	}
	if err == nil || errors.Is(err, errUnknownOutcome) {
		do()
	}
	return err
}

// errUnknownOutcome fails a call that is carried out all the same.
var errUnknownOutcome = errors.New("connection lost")

var errAway = errors.New("no database")

func (f *fakeLedger) register(_ context.Context, e Entry) error { return f.write("register", e) }
func (f *fakeLedger) beat(_ context.Context, e Entry) error     { return f.write("beat", e) }

func (f *fakeLedger) write(what string, e Entry) error {
	return f.call(what, func() {
		f.present, f.entry = true, e
		f.beats++
		if e.Desired.Paused != nil {
			f.noted.Paused = e.Desired.Paused
		}
		for component, level := range e.Desired.LogLevels {
			f.note(component, level)
		}
	})
}

func (f *fakeLedger) note(component string, level DesiredLevel) {
	if f.noted.LogLevels == nil {
		f.noted.LogLevels = map[string]DesiredLevel{}
	}
	f.noted.LogLevels[component] = level
}

func (f *fakeLedger) remove(context.Context, bson.ObjectID) error {
	f.mu.Lock()
	f.removed++
	f.mu.Unlock()
	return f.call("remove", func() { f.present = false })
}

func (f *fakeLedger) desired(context.Context, bson.ObjectID) (d Desired, err error) {
	err = f.call("desired", func() { d = f.noted })
	return d, err
}

func (f *fakeLedger) Holds(context.Context) (holds []Hold, err error) {
	err = f.call("holds", func() { holds = slices.Clone(f.holds) })
	return holds, err
}

func (f *fakeLedger) failWith(fail func(what string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *fakeLedger) now() (present bool, e Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.present, f.entry
}

// one is a server in a bubble that runs until it is stopped.
type one struct {
	*Server
	t      *testing.T
	ledger *fakeLedger
	events *eventtest.Log
	done   chan error
	stop   context.CancelFunc // ends Run's context
}

func open(t *testing.T, source worker.Source, ledger *fakeLedger, cfg Config) *one {
	t.Helper()
	cfg.Bus.Identity.Name = "a"
	s, err := newServer(source, ledger, cfg)
	require.NoError(t, err)
	s.cfg.Bus.Directory = ledger
	events := eventtest.NewLog(0)
	require.NoError(t, s.join(event.NewBus(events, eventtest.NewLog(0), s.cfg.Bus)))
	return &one{Server: s, t: t, ledger: ledger, events: events, done: make(chan error, 1)}
}

// Members implements event.Directory.
func (f *fakeLedger) Members(context.Context) ([]event.Member, error) {
	present, e := f.now()
	if !present {
		return nil, nil
	}
	return []event.Member{e.member()}, nil
}

func run(t *testing.T, source worker.Source, cfg Config) *one {
	t.Helper()
	o := open(t, source, &fakeLedger{}, cfg)
	o.start()
	synctest.Wait()
	return o
}

func (o *one) start() {
	ctx, cancel := context.WithCancel(o.t.Context())
	o.stop = cancel
	go func() { o.done <- o.Run(ctx) }()
}

// call publishes an action and returns the final answer, nil if there is none.
func (o *one) call(action string, parameters any) *event.Reply {
	var final *event.Reply
	for r, err := range o.Bus().Call(o.t.Context(), event.New("server", action, parameters), event.Wait(time.Hour)) {
		require.NoError(o.t, err)
		if r.Kind.Final() {
			final = &r
		}
	}
	return final
}

func (o *one) act(action string) (subscribers.ServerState, event.Reply) {
	o.t.Helper()
	r := o.call(action, nil)
	require.NotNil(o.t, r, action)
	return stateOf(o.t, *r), *r
}

func stateOf(t *testing.T, r event.Reply) (state subscribers.ServerState) {
	t.Helper()
	if len(r.Payload.Value) > 0 {
		require.NoError(t, r.Result(&state))
	}
	return state
}

// ends waits for the end of Run.
func (o *one) ends() error {
	o.t.Helper()
	return <-o.done
}

// took measures by the bubble's clock.
func took(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) context(t *testing.T) context.Context {
	log := zerolog.New(l)
	return log.WithContext(t.Context())
}
