package event_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
)

// auditor is a Directory with a record in memory.
type auditor struct {
	*fleet
	asked    int // how often for the members
	acts     []event.Act
	outcomes []event.Conclusion
	fail     func(event.Act) error
}

func (a *auditor) Members(ctx context.Context) ([]event.Member, error) {
	a.asked++
	return a.fleet.Members(ctx)
}

func (a *auditor) Audits(e event.Event) bool { return e.Name == "example" && e.Action != "nothing" }

func (a *auditor) Audit(_ context.Context, act event.Act) error {
	if a.fail != nil {
		if err := a.fail(act); err != nil {
			return err
		}
	}
	a.acts = append(a.acts, act)
	return nil
}

func (a *auditor) Conclude(ctx context.Context, _ event.Act, how event.Conclusion) error {
	if len(a.acts) == 0 || ctx.Err() != nil {
		return errors.New("concluded without a beginning, or too late")
	}
	a.outcomes = append(a.outcomes, how)
	return nil
}

func (a *auditor) bus() *event.Bus {
	return event.NewBus(a.events, a.replies, event.Config{Directory: a, App: "shop"})
}

// stored returns the events in the log.
func (f *fleet) stored() (all []event.Event) {
	r := &catcherOf{}
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error)
	go func() { done <- f.events.Read(ctx, event.Position{}, r) }()
	synctest.Wait()
	cancel()
	require.NoError(f.t, <-done)
	return r.events
}

type catcherOf struct{ events []event.Event }

func (c *catcherOf) Entry(raw bson.Raw, _ event.Position) {
	if e, err := event.Decode(append(bson.Raw(nil), raw...)); err == nil {
		c.events = append(c.events, e)
	}
}
func (c *catcherOf) Gap(event.Gap)                            {}
func (c *catcherOf) State(event.State, event.Position, error) {}

func TestCallIsRecorded(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.server("a", &recorder{})
		f.server("b", &recorder{do: func(context.Context, parameters) (string, error) { return "", event.Refuse("not now") }})
		f.server("c", &recorder{do: func(ctx context.Context, _ parameters) (string, error) { <-ctx.Done(); return "", ctx.Err() }})
		a := &auditor{fleet: f}
		for range a.bus().Call(t.Context(), numbered(1), event.Wait(5*time.Second)) {
		}
		require.Len(t, a.acts, 1)
		act := a.acts[0]
		require.Len(t, act.Expected, 3)
		require.Equal(t, 5*time.Second, act.Wait)
		require.Equal(t, "shop", act.Event.Publisher.App)
		require.NotEmpty(t, act.Event.Publisher.User)
		require.NotZero(t, act.Event.Publisher.PID)
		require.Equal(t, act.Event.ID, f.stored()[0].ID)

		inName := event.New(act.Event.Name, act.Event.Action, numbered(2).Parameters, event.By("alice"))
		_, err := a.bus().Publish(t.Context(), inName)
		require.NoError(t, err)
		require.Equal(t, "alice", a.acts[1].Event.Publisher.User)
		require.Equal(t, act.Event.Publisher.PID, a.acts[1].Event.Publisher.PID)
		require.Equal(t, "alice", f.stored()[1].Publisher.User)

		require.Len(t, a.outcomes, 1)
		how := a.outcomes[0]
		require.Equal(t, event.EndedWait, how.Ending)
		require.NoError(t, how.Err)
		require.Equal(t, []int{1, 1, 1}, []int{how.Summary.Done, how.Summary.Refused, how.Summary.Missing})
		require.Equal(t, 5*time.Second, how.Summary.Duration)
	})
}

// TestHowACallEnds looks at what is written down of callers that stay and that
// leave, also when their context has ended.
func TestHowACallEnds(t *testing.T) {
	hang := &recorder{do: func(ctx context.Context, _ parameters) (string, error) { <-ctx.Done(); return "", nil }}
	for name, test := range map[string]struct {
		action string
		leave  func(cancel context.CancelFunc) bool // called for each reply; whether to go on
		want   event.Ending
	}{
		"complete":  {"record", func(context.CancelFunc) bool { return true }, event.EndedComplete},
		"time over": {"aside", func(context.CancelFunc) bool { return true }, event.EndedWait},
		"broke off": {"aside", func(context.CancelFunc) bool { return false }, event.EndedLeft},
		"cancelled": {"aside", func(cancel context.CancelFunc) bool { cancel(); return true }, event.EndedLeft},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *fleet) {
				if test.action == "aside" {
					f.server("a", hang)
				} else {
					f.server("a", &recorder{})
				}
				a := &auditor{fleet: f}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				for _, err := range a.bus().Call(ctx, event.New("example", test.action, nil)) {
					if err != nil || !test.leave(cancel) {
						break
					}
				}
				require.Len(t, a.outcomes, 1)
				require.Equal(t, test.want, a.outcomes[0].Ending)
				require.NoError(t, a.outcomes[0].Err)
			})
		})
	}
}

func TestCallerThatPanicsIsRecorded(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.server("a", &recorder{})
		a := &auditor{fleet: f}
		require.Panics(t, func() {
			for range a.bus().Call(t.Context(), numbered(1)) {
				panic("caller")
			}
		})
		require.Equal(t, event.EndedLeft, a.outcomes[0].Ending)
	})
}

func TestUnheardCallSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		replies := unreadable{eventtest.NewLog(0), func(r event.Reader) {
			time.Sleep(time.Second) // the call is under way
			r.Gap(event.Gap{Reason: "rolled over"})
		}}
		a := &auditor{fleet: newFleet(t)}
		a.members = []event.Member{{ServerID: bson.NewObjectID(), Name: "one", Actions: map[string][]string{"example": {"record"}}}}
		bus := event.NewBus(a.events, replies, event.Config{Directory: a})
		for range bus.Call(t.Context(), numbered(1)) {
		}
		require.Equal(t, event.EndedWait, a.outcomes[0].Ending)
		require.ErrorContains(t, a.outcomes[0].Err, "rolled over")
	})
}

func TestPublishIsRecorded(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.server("a", &recorder{})
		f.server("b", &recorder{})
		a := &auditor{fleet: f}
		publish(t, a.bus(), numbered(1, event.To(event.Target{Names: []string{"b"}})), event.New("example", "nothing", nil), numbered(2))
		require.Len(t, a.acts, 2, "one of them is not audited")
		require.Zero(t, a.acts[0].Wait)
		require.Len(t, a.acts[0].Expected, 1)
		require.Equal(t, "b", a.acts[0].Expected[0].Name)
		require.Len(t, a.acts[1].Expected, 2)
		require.Empty(t, a.outcomes)
	})
}

// TestUserEventsAskNobody is promise 1: what is not audited costs no I/O.
func TestUserEventsAskNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		a := &auditor{fleet: f}
		publish(t, a.bus(), event.New("mine", "do", nil), event.New("example", "nothing", nil))
		require.Empty(t, a.acts)
		require.Zero(t, a.asked)
		require.Len(t, f.stored(), 2)
	})
}

// TestWhatCannotBeWrittenDownDoesNotHappen fails at the second of two acts: none
// is published, and the first says so.
func TestWhatCannotBeWrittenDownDoesNotHappen(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		full := errors.New("disk full")
		a := &auditor{fleet: f}
		a.fail = func(act event.Act) error {
			if n, _ := act.Event.Parameters.Lookup("n").AsInt64OK(); n == 2 {
				return full
			}
			return nil
		}
		_, err := a.bus().Publish(t.Context(), numbered(1), numbered(2), numbered(3))
		require.ErrorIs(t, err, full)
		require.ErrorContains(t, err, "not published, because it could not be written down")
		require.Empty(t, f.stored())
		require.Len(t, a.acts, 1)
		require.Equal(t, event.EndedUnstored, a.outcomes[0].Ending)
		require.ErrorIs(t, a.outcomes[0].Err, full)

		f.server("a", &recorder{})
		for _, err := range a.bus().Call(t.Context(), numbered(2)) {
			require.ErrorIs(t, err, full)
		}
		require.Len(t, a.outcomes, 1, "a call that was not written down has no outcome")
	})
}

// TestAuditIsTriedThroughAFailOver loses the connection twice.
func TestAuditIsTriedThroughAFailOver(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		failures := 2
		a := &auditor{fleet: f, fail: func(event.Act) error {
			if failures--; failures >= 0 {
				return mongo.CommandError{Labels: []string{"NetworkError"}, Wrapped: io.EOF}
			}
			return nil
		}}
		publish(t, a.bus(), numbered(1))
		require.Len(t, a.acts, 1)
		require.Len(t, f.stored(), 1)
	})
}

// full is a Log that takes nothing.
type full struct{ event.Log }

func (full) Append(context.Context, ...bson.Raw) error { return errors.New("no space left") }

func TestUnstoredEventSaysSo(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.server("a", &recorder{})
		a := &auditor{fleet: f}
		bus := event.NewBus(full{f.events}, f.replies, event.Config{Directory: a})
		_, err := bus.Publish(t.Context(), numbered(1))
		require.ErrorContains(t, err, "no space left")
		for _, err := range bus.Call(t.Context(), numbered(2)) {
			require.ErrorContains(t, err, "no space left")
		}
		require.Len(t, a.acts, 2)
		require.Len(t, a.outcomes, 2, "each once")
		for _, how := range a.outcomes {
			require.Equal(t, event.EndedUnstored, how.Ending)
			require.ErrorContains(t, how.Err, "no space left")
		}
	})
}

// vault is a subscriber with an action that is audited and takes a secret.
type vault struct{ got chan unlock }

type unlock struct {
	Key string `bson:"key" fleetcast:"secret"`
}

func (v *vault) Name() string { return "vault" }
func (v *vault) Actions() []event.Action {
	return []event.Action{
		event.On("open", func(_ context.Context, u unlock) error { v.got <- u; return nil }, event.Audited()),
		event.On("look", func(context.Context, event.None) error { return nil }),
	}
}

// TestTraitsTravel publishes parameters without a type: who matches, or has the
// subscriber itself, knows what is secret and audited all the same.
func TestTraitsTravel(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		v := &vault{got: make(chan unlock, 10)}
		server := f.server("a", v)
		traits := server.Traits()
		require.Equal(t, []event.Trait{{Subscriber: "vault", Action: "open", Secret: []string{"key"}, Audited: true}}, traits)
		f.members[0].Traits = traits
		untyped := event.New("vault", "open", bson.M{"key": "hunter2"})

		a := &auditor{fleet: f}
		for range a.bus().Call(t.Context(), untyped) {
		}
		here := event.NewBus(f.events, f.replies, event.Config{Directory: a})
		_, err := here.Subscribe(&vault{})
		require.NoError(t, err)
		again := event.New("vault", "open", bson.M{"key": "hunter2"})
		publish(t, here, again, event.New("vault", "look", nil))

		require.Len(t, a.acts, 2)
		require.Equal(t, event.EndedComplete, a.outcomes[0].Ending)
		for i, e := range f.stored()[:2] {
			require.Equal(t, "hunter2", (<-v.got).Key)
			require.JSONEq(t, `{"key":"****"}`, e.Redacted().String())
			require.JSONEq(t, `{"key":"****"}`, a.acts[i].Event.Redacted().String())
		}
	})
}

// BenchmarkPublishBesideAnAuditor is a user event; with and without an auditor
// it takes the same way.
func BenchmarkPublishBesideAnAuditor(b *testing.B) {
	for name, directory := range map[string]event.Directory{"without": oneServer{}, "with": &auditor{}} {
		b.Run(name, func(b *testing.B) {
			bus := event.NewBus(eventtest.NewLog(1<<20), eventtest.NewLog(0), event.Config{Directory: directory})
			for b.Loop() {
				_, err := bus.Publish(b.Context(), event.New("mine", "do", nil))
				require.NoError(b, err)
			}
		})
	}
}
