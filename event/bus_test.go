package event_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
)

// fleet is some buses on logs in memory, all run in one synctest bubble.
type fleet struct {
	t               *testing.T
	events, replies *eventtest.Log
	members         []event.Member
}

func newFleet(t *testing.T) *fleet {
	return &fleet{t: t, events: eventtest.NewLog(0), replies: eventtest.NewLog(0)}
}

func (f *fleet) Members(context.Context) ([]event.Member, error) { return f.members, nil }

// bus makes one that does not run.
func (f *fleet) bus(cfg event.Config) *event.Bus {
	cfg.Directory = f
	return event.NewBus(f.events, f.replies, cfg)
}

// server makes a bus with subscribers, runs it until the test ends, and makes
// it a member.
func (f *fleet) server(name string, subs ...event.Subscriber) *event.Bus {
	return f.serverWith(event.Config{Identity: event.Identity{Name: name}}, subs...)
}

func (f *fleet) serverWith(cfg event.Config, subs ...event.Subscriber) *event.Bus {
	b := f.bus(cfg)
	for _, s := range subs {
		_, err := b.Subscribe(s)
		require.NoError(f.t, err)
	}
	f.run(b)
	id := b.Identity()
	f.members = append(f.members, event.Member{ServerID: id.ServerID, Name: id.Name, Host: id.Host, PID: id.PID, Labels: id.Labels, Actions: b.Actions()})
	return b
}

func (f *fleet) run(b *event.Bus) (stop func() error) {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	<-b.Listening()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	f.t.Cleanup(func() { _ = stop() })
	return stop
}

// recorder is a subscriber "example" that keeps what it was asked to do.
type recorder struct {
	name string
	do   func(ctx context.Context, p parameters) (string, error)

	mu   sync.Mutex
	seen []parameters
	gaps []event.Gap
}

type parameters struct {
	N    int    `bson:"n"`
	Text string `bson:"text"`
}

func (p *parameters) SetDefaults() { p.Text = "default" }

func (r *recorder) Name() string {
	if r.name == "" {
		return "example"
	}
	return r.name
}

func (r *recorder) Actions() []event.Action {
	return []event.Action{
		event.OnResult("record", r.record),
		event.OnResult("aside", r.record, event.Concurrent()),
		event.OnResult("soon", r.record, event.ExpiresAfter(time.Minute)),
		event.On("nothing", func(context.Context, event.None) error { return nil }),
	}
}

func (r *recorder) Gap(_ context.Context, gap event.Gap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gaps = append(r.gaps, gap)
}

func (r *recorder) record(ctx context.Context, p parameters) (string, error) {
	r.mu.Lock()
	r.seen = append(r.seen, p)
	r.mu.Unlock()
	if r.do != nil {
		return r.do(ctx, p)
	}
	return "recorded", nil
}

func (r *recorder) numbers() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ns []int
	for _, p := range r.seen {
		ns = append(ns, p.N)
	}
	return ns
}

func publish(t *testing.T, b *event.Bus, events ...event.Event) {
	t.Helper()
	_, err := b.Publish(t.Context(), events...)
	require.NoError(t, err)
	synctest.Wait()
}

func numbered(n int, opts ...event.Option) event.Event {
	return event.New("example", "record", bson.M{"n": n}, opts...)
}

// inBubble runs a test under the fake clock of synctest; what it starts is
// joined by the cleanups before the bubble ends.
func inBubble(t *testing.T, test func(t *testing.T, f *fleet)) {
	synctest.Test(t, func(t *testing.T) { test(t, newFleet(t)) })
}

func TestEventReachesMatchingSubscribersInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		all, web, other := &recorder{}, &recorder{}, &recorder{name: "other"}
		b := f.server("db-1", all, other)
		f.server("web-1", web)
		for n := range 10 {
			publish(t, b, numbered(n))
		}
		publish(t, b, numbered(100, event.To(event.Target{Names: []string{"web-*"}})))
		require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, all.numbers())
		require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100}, web.numbers())
		require.Empty(t, other.numbers())
		require.Equal(t, "default", all.seen[0].Text, "defaults fill what is not given")
	})
}

func TestWhatWasPublishedBeforeIsNotActedUpon(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		publisher := f.bus(event.Config{})
		publish(t, publisher, numbered(1))
		r := &recorder{}
		f.server("late", r)
		publish(t, publisher, numbered(2))
		require.Equal(t, []int{2}, r.numbers())
	})
}

func TestPublishTwiceIsOneEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		r := &recorder{}
		b := f.server("one", r)
		e := numbered(7)
		publish(t, b, e)
		publish(t, b, e)
		require.Equal(t, []int{7}, r.numbers())
	})
}

func TestPublishRefusesWhatCannotBeMeant(t *testing.T) {
	b := newFleet(t).bus(event.Config{})
	_, err := b.Subscribe(&recorder{})
	require.NoError(t, err)
	for want, e := range map[string]event.Event{
		"action's name is empty":         event.New("example", "", nil),
		"subscriber's name is empty":     event.New("", "record", nil),
		`subscriber's name is "*"`:       event.New("*", "record", nil),
		"blanks":                         event.New("exa mple", "record", nil),
		`did you mean "record"?`:         event.New("example", "recrod", nil),
		"parameters are 70013 bytes":     event.New("example", "record", bson.M{"t": strings.Repeat("x", 70_000)}),
		"encode parameters of type chan": event.New("example", "record", make(chan int)),
		"syntax error in pattern":        event.New("example", "record", nil, event.To(event.Target{Hosts: []string{"[a"}})),
	} {
		_, err := b.Publish(t.Context(), numbered(1), e)
		require.ErrorContains(t, err, want)
	}
	_, err = b.Publish(t.Context())
	require.Error(t, err)
}

func TestCallSaysExactlyHowItWent(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		ok := func(context.Context, parameters) (string, error) { return "hello", nil }
		fail := func(context.Context, parameters) (string, error) { return "", errors.New("disk full") }
		refuse := func(context.Context, parameters) (string, error) { return "", event.Refuse("not today") }
		blow := func(context.Context, parameters) (string, error) { panic("boom") }
		exit := func(context.Context, parameters) (string, error) { runtime.Goexit(); return "", nil }
		hang := func(ctx context.Context, _ parameters) (string, error) { <-ctx.Done(); return "", ctx.Err() }
		for name, do := range map[string]func(context.Context, parameters) (string, error){
			"ok": ok, "fail": fail, "refuse": refuse, "blow": blow, "exit": exit, "hang": hang,
		} {
			f.server(name, &recorder{do: do})
		}
		f.members = append(f.members, event.Member{ServerID: bson.NewObjectID(), Name: "dead", Deaf: true, Actions: f.members[0].Actions})

		var sum event.Summary
		errs := map[string]string{}
		var greeting string
		for r, err := range f.bus(event.Config{}).Call(t.Context(), numbered(1), event.Wait(5*time.Second), event.Summarize(&sum)) {
			require.NoError(t, err)
			if r.Kind.Final() {
				errs[r.Server] = string(r.Kind) + " " + r.Error
			}
			if r.Kind == event.Done {
				require.NoError(t, r.Result(&greeting))
			}
		}
		require.Equal(t, "hello", greeting)
		require.Contains(t, errs["blow"], "failed panic: boom\n")
		require.Contains(t, errs["blow"], "bus_test.go", "the stack of the panic")
		require.Contains(t, errs["exit"], "Goexit")
		require.Equal(t, "failed disk full", errs["fail"])
		require.Equal(t, "refused not today", errs["refuse"])
		require.NotContains(t, errs, "hang")
		servers := sum.Servers
		sum.Servers = nil
		require.Equal(t, event.Summary{
			EventID: sum.EventID, Matched: 7, Acked: 6, Done: 1, Failed: 3, Refused: 1, Missing: 2, Deaf: 1, Duration: 5 * time.Second,
		}, sum)
		require.Len(t, servers, 7)
		require.False(t, sum.Complete())
	})
}

func TestCallEndsWhenAllHaveAnswered(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.server("a", &recorder{})
		f.server("b", &recorder{}, &recorder{}) // two subscribers, one answer
		f.server("c", &recorder{name: "other"})
		caller := f.bus(event.Config{})
		var calls sync.WaitGroup
		for range 20 { // share one reader
			calls.Go(func() {
				var sum event.Summary
				var kinds []string
				for r, err := range caller.Call(t.Context(), numbered(1), event.Summarize(&sum)) {
					if err != nil {
						t.Error(err)
					}
					kinds = append(kinds, r.Server+" "+string(r.Kind))
				}
				if sum.Matched != 2 || sum.Done != 2 || !sum.Complete() || sum.Extra != 0 || len(kinds) != 4 {
					t.Errorf("%+v %v", sum, kinds)
				}
			})
		}
		calls.Wait()
	})
}

func TestCallWithoutMatchEndsAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		r := &recorder{}
		f.server("a", r)
		caller := f.bus(event.Config{})
		var sum event.Summary
		start := time.Now()
		for range caller.Call(t.Context(), numbered(1, event.To(event.Target{Names: []string{"nobody"}})), event.Summarize(&sum)) {
			t.Error("nobody can answer")
		}
		require.Zero(t, sum.Matched)
		require.True(t, sum.Complete())
		require.Zero(t, time.Since(start))
		synctest.Wait()
		require.Empty(t, r.numbers())

		for _, err := range caller.Call(t.Context(), event.New("exampel", "record", nil)) {
			var unknown *event.UnknownError
			require.ErrorAs(t, err, &unknown)
			require.ErrorContains(t, err, `did you mean "example"?`)
		}
	})
}

func TestCallerMayBreakOff(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.server("a", &recorder{})
		var sum event.Summary
		for range f.bus(event.Config{}).Call(t.Context(), numbered(1), event.Summarize(&sum)) {
			break // at the acknowledgement
		}
		require.Equal(t, 1, sum.Missing)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range f.bus(event.Config{}).Call(ctx, numbered(1)) {
			require.ErrorIs(t, err, context.Canceled)
		}
	})
}

func TestCloseOfTheCallersContextEndsACall(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.server("a", &recorder{do: func(ctx context.Context, _ parameters) (string, error) { <-ctx.Done(); return "", nil }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var last error
		for _, err := range f.bus(event.Config{}).Call(ctx, numbered(1), event.Wait(time.Hour)) {
			last = err
		}
		require.ErrorIs(t, last, context.DeadlineExceeded)
	})
}

func TestUnknownActionIsRefusedByTheServer(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.server("a", &recorder{})
		f.members[0].Actions = nil // the directory does not know
		var last event.Reply
		for r, err := range f.bus(event.Config{}).Call(t.Context(), event.New("example", "vanish", nil)) {
			require.NoError(t, err)
			last = r
		}
		require.Equal(t, event.Refused, last.Kind)
		require.Contains(t, last.Error, `unknown action of subscriber "example": "vanish"`)
	})
}

func TestBadParametersFailThatDelivery(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		r := &recorder{}
		f.server("a", r)
		var last event.Reply
		for reply := range f.bus(event.Config{}).Call(t.Context(), event.New("example", "record", bson.M{"n": "seven"})) {
			last = reply
		}
		require.Equal(t, event.Failed, last.Kind)
		require.Contains(t, last.Error, "bad parameters for example record")
		require.Contains(t, last.Error, "n")
		require.Empty(t, r.numbers())
	})
}

func TestLateEventsAreRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		r := &recorder{}
		r.do = func(context.Context, parameters) (string, error) { time.Sleep(90 * time.Second); return "", nil }
		b := f.server("a", r)
		publish(t, b, numbered(1), event.New("example", "soon", bson.M{"n": 2}),
			numbered(3, event.Expires(time.Now().Add(time.Second))), numbered(4))
		time.Sleep(10 * time.Minute)
		require.Equal(t, []int{1, 4}, r.numbers(), "what waited too long in the queue is not done")
	})
}

func TestSlowAndFailingSubscribersHarmNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		slow := &recorder{do: func(context.Context, parameters) (string, error) {
			time.Sleep(time.Second)
			return "", nil
		}}
		quick := &recorder{name: "quick"}
		b := f.serverWith(event.Config{Queue: 3}, slow, quick)
		for n := range 10 {
			publish(t, b, numbered(n))
			publish(t, b, event.New("quick", "record", bson.M{"n": n}))
		}
		require.Len(t, quick.numbers(), 10, "not held up")
		time.Sleep(time.Minute)
		require.Equal(t, []int{0, 1, 2, 3}, slow.numbers(), "one running and three queued")
		require.EqualValues(t, 6, b.Health().Overruns)
		require.Len(t, slow.gaps, 1, "an overrun is told like a gap")
		require.Contains(t, slow.gaps[0].Reason, "overrun")
	})
}

func TestConcurrentActionsHoldUpNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		r := &recorder{do: func(ctx context.Context, p parameters) (string, error) {
			if p.N == 0 {
				<-ctx.Done()
			}
			return "", nil
		}}
		b := f.server("a", r)
		publish(t, b, event.New("example", "aside", bson.M{"n": 0}), numbered(1))
		require.ElementsMatch(t, []int{0, 1}, r.numbers())
	})
}

func TestGapIsNeverSilent(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.events = eventtest.NewLog(4 << 10)
		r := &recorder{}
		b := f.server("a", r)
		var batch []event.Event
		for n := range 100 {
			batch = append(batch, numbered(n))
		}
		publish(t, b, batch...) // rolls over before the listener runs
		require.Len(t, r.gaps, 1)
		require.EqualValues(t, 1, b.Health().Gaps)
		require.Equal(t, 99, r.numbers()[len(r.numbers())-1])
	})
}

func TestMalformedDocumentsAreCountedAndSkipped(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		r := &recorder{}
		b := f.server("a", r)
		for _, doc := range []bson.D{
			{{Key: "_id", Value: bson.NewObjectID()}, {Key: "hello", Value: 1}},
			{{Key: "_id", Value: bson.NewObjectID()}, {Key: "ts", Value: bson.Timestamp{}}, {Key: "name", Value: 5}},
			{{Key: "_id", Value: bson.NewObjectID()}, {Key: "ts", Value: bson.Timestamp{}}, {Key: "name", Value: "example"}},
			{{Key: "_id", Value: bson.NewObjectID()}, {Key: "ts", Value: bson.Timestamp{}}, {Key: "name", Value: "example"},
				{Key: "action", Value: "record"}, {Key: "target", Value: bson.D{{Key: "planets", Value: bson.A{"mars"}}}}},
		} {
			raw, err := bson.Marshal(doc)
			require.NoError(t, err)
			require.NoError(t, f.events.Append(t.Context(), raw))
		}
		publish(t, b, numbered(1))
		require.Equal(t, []int{1}, r.numbers())
		require.EqualValues(t, 4, b.Health().Malformed)
	})
}

func TestUnsubscribe(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		var sub *event.Subscription
		r := &recorder{do: func(context.Context, parameters) (string, error) { sub.Close(); return "", nil }}
		b := f.server("a")
		sub, err := b.Subscribe(r) // while the bus runs
		require.NoError(t, err)
		publish(t, b, numbered(1), numbered(2))
		publish(t, b, numbered(3))
		sub.Close()
		require.Equal(t, []int{1}, r.numbers(), "closed from within its own action")
	})
}

func TestPublishFromAnAction(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		var b *event.Bus
		r := &recorder{}
		r.do = func(ctx context.Context, p parameters) (string, error) {
			e, ok := event.FromContext(ctx)
			if !ok || e.Action != "record" {
				return "", errors.New("no event in the context")
			}
			if p.N < 3 {
				_, err := b.Publish(ctx, numbered(p.N+1))
				return "", err
			}
			return "", nil
		}
		b = f.server("a", r)
		publish(t, b, numbered(0))
		require.Equal(t, []int{0, 1, 2, 3}, r.numbers())
	})
}

func TestRunWaitsForActionsAndAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		r := &recorder{do: func(ctx context.Context, _ parameters) (string, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // cleans up
			return "cleaned up", context.Cause(ctx)
		}}
		b := f.bus(event.Config{})
		_, err := b.Subscribe(r)
		require.NoError(t, err)
		stop := f.run(b)
		e := numbered(1)
		e.Reply = true
		publish(t, b, e)
		start := time.Now()
		require.NoError(t, stop())
		require.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, b.Run(t.Context()), event.ErrRunning)

		c := &collector{}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { synctest.Wait(); cancel() }()
		require.NoError(t, f.replies.Read(ctx, event.Position{}, c))
		require.Equal(t, []event.ReplyKind{event.Ack, event.Failed}, c.kinds, "the answer was stored before Run returned")
	})
}

type collector struct{ kinds []event.ReplyKind }

func (c *collector) Entry(raw bson.Raw, _ event.Position) {
	if r, err := event.DecodeReply(raw); err == nil {
		c.kinds = append(c.kinds, r.Kind)
	}
}
func (c *collector) Gap(event.Gap)                            {}
func (c *collector) State(event.State, event.Position, error) {}

func TestRunReportsActionsThatDoNotReturn(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		b := f.bus(event.Config{})
		_, err := b.Subscribe(&recorder{do: func(context.Context, parameters) (string, error) { <-release; return "", nil }})
		require.NoError(t, err)
		stop := f.run(b)
		publish(t, b, numbered(1))
		require.ErrorContains(t, stop(), "did not return within 5s")
	})
}

func TestSubscribeRefusesABrokenTable(t *testing.T) {
	b := newFleet(t).bus(event.Config{})
	for want, actions := range map[string][]event.Action{
		"no actions":      {},
		"is there twice":  {event.On("a", nothing), event.On("a", nothing)},
		"has no function": {event.On[event.None]("a", nil)},
		"name is empty":   {event.On("", nothing)},
	} {
		_, err := b.Subscribe(table(actions))
		require.ErrorContains(t, err, want)
	}
}

func nothing(context.Context, event.None) error { return nil }

type table []event.Action

func (table) Name() string              { return "table" }
func (t table) Actions() []event.Action { return t }

// everything is a subscriber of all events.
type everything struct{ seen []string }

func (*everything) Name() string { return event.All }

func (a *everything) Actions() []event.Action {
	return []event.Action{event.On(event.All, func(ctx context.Context, p bson.Raw) error {
		e, _ := event.FromContext(ctx)
		a.seen = append(a.seen, fmt.Sprint(e.Name, " ", e.Action, " ", p.Lookup("n").AsInt64()))
		return nil
	})}
}

func TestSubscriberOfAllEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		all, durably := &everything{}, &everything{}
		b := f.bus(event.Config{Positions: &memory{}, Identity: event.Identity{Name: "a"}})
		for _, err := range []error{
			second(b.Subscribe(&recorder{})), second(b.Subscribe(all)), second(b.Subscribe(durably, event.Durable("all", event.Latest()))),
		} {
			require.NoError(t, err)
		}
		f.run(b)
		synctest.Wait()
		f.members = []event.Member{{ServerID: b.Identity().ServerID, Name: "a", Actions: b.Actions()}}
		require.NotContains(t, b.Actions(), event.All)
		publisher := f.bus(event.Config{})
		publish(t, publisher, numbered(1), event.New("unknown", "thing", bson.M{"n": 2}),
			numbered(3, event.To(event.Target{Names: []string{"b"}})))
		var kinds []event.ReplyKind
		for r, err := range publisher.Call(t.Context(), numbered(4)) {
			require.NoError(t, err)
			kinds = append(kinds, r.Kind)
		}
		synctest.Wait()
		require.Equal(t, []event.ReplyKind{event.Ack, event.Done}, kinds, "of the one that was asked")
		want := []string{"example record 1", "unknown thing 2", "example record 4"}
		require.Equal(t, want, all.seen)
		require.Equal(t, want, durably.seen)
	})
}

func second[T any](_ T, err error) error { return err }

// failingLog cannot be reached at first.
type failingLog struct {
	event.Log
	left int
}

func (l *failingLog) Mark(ctx context.Context) (event.Position, error) {
	if l.left--; l.left >= 0 {
		return event.Position{}, fmt.Errorf("no such host")
	}
	return l.Log.Mark(ctx)
}

func TestRunTriesForEver(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		b := event.NewBus(&failingLog{Log: f.events, left: 50}, f.replies, event.Config{})
		r := &recorder{}
		_, err := b.Subscribe(r)
		require.NoError(t, err)
		start := time.Now()
		f.run(b)
		require.Greater(t, time.Since(start), time.Minute, "with growing pauses")
		require.Equal(t, "no such host", b.Health().LastError)
		publish(t, b, numbered(1))
		require.Equal(t, []int{1}, r.numbers())
	})
}
