package eventtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
)

// TestCalls is the conformance suite of calls and their answers over a pair of
// logs. open returns two new, empty ones that hold 64 MiB each. If the first has a
// method Drop as for [TestLog], there are fewer calls and answers.
func TestCalls(t *testing.T, open func(t *testing.T) (events, replies event.Log)) {
	tests := map[string]func(*callSuite){
		"output comes in order before the result":          (*callSuite).output,
		"a server that dies after its ack is missing":      (*callSuite).dies,
		"a deaf server is named so":                        (*callSuite).deaf,
		"a server that joins late is extra":                (*callSuite).joinsLate,
		"one that joins late makes up the minimum":         (*callSuite).minimum,
		"zero matches end at once":                         (*callSuite).nobody,
		"servers answer at the same instant":               (*callSuite).sameInstant,
		"a large result comes whole":                       (*callSuite).large,
		"a result larger than a document is missing, told": (*callSuite).tooLarge,
		"calls do not disturb each other":                  (*callSuite).undisturbed,
		"callbacks are called as often as they promise":    (*callSuite).callbacks,
		"a caller that leaves ends what is tied to it":     (*callSuite).leaves,
		"output after the answer is an error":              (*callSuite).afterwards,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &callSuite{T: t}
			s.events, s.replies = open(t)
			_, s.few = s.events.(dropper)
			test(s)
		})
	}
}

// callPatience bounds each wait for answers; only a broken implementation, or a very
// busy machine, comes near it.
const callPatience = 3 * patience

// callSuite is a fleet on one pair of logs.
type callSuite struct {
	*testing.T
	events, replies event.Log
	few             bool

	mu      sync.Mutex
	members []event.Member
}

// Members makes it a Directory.
func (s *callSuite) Members(context.Context) ([]event.Member, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]event.Member(nil), s.members...), nil
}

// act is the subscriber "suite" with the one action "act".
type act func(ctx context.Context) (any, error)

func (act) Name() string { return "suite" }
func (a act) Actions() []event.Action {
	return []event.Action{event.OnResult("act", func(ctx context.Context, _ event.None) (any, error) { return a(ctx) }, event.Concurrent())}
}

func (s *callSuite) bus(name string) *event.Bus {
	return event.NewBus(s.events, s.replies, event.Config{
		Directory: s, Identity: event.Identity{Name: name}, DrainTime: 100 * time.Millisecond,
	})
}

// many returns n, or a twentieth of it for logs that are slow.
func (s *callSuite) many(n int) int {
	if s.few {
		return n / 20
	}
	return n
}

// server runs one until the test ends. If it is hidden, the Directory does not
// know of it.
func (s *callSuite) server(name string, hidden bool, do act) {
	s.Helper()
	b := s.bus(name)
	_, err := b.Subscribe(do)
	require.NoError(s, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = b.Run(ctx) }) // one of them does not end in time
	s.Cleanup(func() { cancel(); running.Wait() })
	<-b.Listening()
	if id := b.Identity(); !hidden {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.members = append(s.members, event.Member{ServerID: id.ServerID, Name: name, Actions: b.Actions()})
	}
}

func theAct() event.Event { return event.New("suite", "act", nil) }

// call returns the replies and the summary. Until stop is true of a reply it
// waits for as long as only a broken implementation takes.
func (s *callSuite) call(b *event.Bus, stop func(event.Reply) bool, opts ...event.CallOption) (replies []event.Reply, sum event.Summary) {
	s.Helper()
	opts = append([]event.CallOption{event.Wait(callPatience), event.Summarize(&sum)}, opts...)
	for r, err := range b.Call(s.Context(), theAct(), opts...) {
		require.NoError(s, err)
		replies = append(replies, r)
		if stop != nil && stop(r) {
			break
		}
	}
	return replies, sum
}

func (s *callSuite) output() {
	chunks := s.many(200) // more than may wait
	for i := range 3 {
		s.server(fmt.Sprint(i), false, func(ctx context.Context) (any, error) {
			for n := range chunks {
				if err := event.Emit(ctx, n); err != nil {
					return nil, err
				}
			}
			return "all", nil
		})
	}
	replies, sum := s.call(s.bus("caller"), nil)
	next := map[string]int{}
	for _, r := range replies {
		require.Equal(s, next[r.Server], r.Seq)
		if r.Kind == event.Output {
			n, _ := r.Payload.AsInt64OK()
			require.EqualValues(s, r.Seq-1, n)
		}
		next[r.Server]++
	}
	require.Len(s, replies, 3*(chunks+2))
	require.Equal(s, 3, sum.Done)
	for _, o := range sum.Servers {
		require.Zero(s, o.Lost)
		require.Positive(s, o.Took)
	}
}

func (s *callSuite) dies() {
	hanging, over := make(chan struct{}), make(chan struct{})
	s.Cleanup(func() { close(over) })
	s.server("dies", false, func(context.Context) (any, error) {
		close(hanging)
		<-over // as a process that is no more
		return nil, nil
	})
	s.server("lives", false, func(context.Context) (any, error) { <-hanging; return nil, nil })
	acks, done := 0, 0
	_, sum := s.call(s.bus("caller"), func(r event.Reply) bool {
		if r.Kind == event.Ack {
			acks++
		} else {
			done++
		}
		return acks == 2 && done == 1
	})
	require.Equal(s, []int{2, 2, 1, 1}, []int{sum.Matched, sum.Acked, sum.Done, sum.Missing})
	for _, o := range sum.Servers {
		require.True(s, o.Acked)
		require.Equal(s, o.Server == "dies", o.Reply == nil)
	}
}

func (s *callSuite) deaf() {
	s.server("hears", false, func(context.Context) (any, error) { return nil, nil })
	s.members = append(s.members, event.Member{ServerID: bson.NewObjectID(), Name: "deaf", Deaf: true})
	_, sum := s.call(s.bus("caller"), func(r event.Reply) bool { return r.Kind.Final() })
	require.Equal(s, []int{2, 1, 1, 1}, []int{sum.Matched, sum.Done, sum.Missing, sum.Deaf})
	require.False(s, sum.Complete())
}

func (s *callSuite) joinsLate() {
	answered := make(chan struct{})
	s.server("known", false, func(context.Context) (any, error) { <-answered; return nil, nil })
	s.server("late", true, func(context.Context) (any, error) { return "late", nil })
	replies, sum := s.call(s.bus("caller"), func(r event.Reply) bool {
		if r.Server == "late" && r.Kind.Final() {
			close(answered)
		}
		return false
	})
	require.Len(s, replies, 4)
	require.Equal(s, []int{1, 1, 1, 0}, []int{sum.Matched, sum.Done, sum.Extra, sum.Missing})
	require.True(s, sum.Complete())
}

func (s *callSuite) minimum() {
	s.server("known", false, func(context.Context) (any, error) { return nil, nil })
	s.server("late", true, func(context.Context) (any, error) { return nil, nil })
	_, sum := s.call(s.bus("caller"), nil, event.AtLeast(2))
	require.Equal(s, []int{1, 1, 1, 0}, []int{sum.Matched, sum.Done, sum.Extra, sum.Short()})
	require.True(s, sum.Complete())
	finals := 0
	_, sum = s.call(s.bus("caller"), func(r event.Reply) bool {
		if r.Kind.Final() {
			finals++
		}
		return finals == 2
	}, event.AtLeast(3))
	require.Equal(s, 1, sum.Short())
	require.False(s, sum.Complete())
}

func (s *callSuite) nobody() {
	replies, sum := s.call(s.bus("caller"), nil, event.AtLeast(1))
	require.Empty(s, replies)
	require.Zero(s, sum.Matched)
	require.True(s, sum.Complete())
}

func (s *callSuite) sameInstant() {
	const n = 8
	var together sync.WaitGroup
	together.Add(n)
	for i := range n {
		s.server(fmt.Sprint(i), false, func(context.Context) (any, error) { together.Done(); together.Wait(); return i, nil })
	}
	_, sum := s.call(s.bus("caller"), nil)
	require.Equal(s, []int{n, n, n, 0}, []int{sum.Matched, sum.Acked, sum.Done, sum.Missing})
}

func (s *callSuite) large() {
	noise := make([]byte, 300<<10) // which cannot be compressed
	_, _ = rand.Read(noise)
	for i := range 2 {
		s.server(fmt.Sprint(i), false, func(context.Context) (any, error) { return append([]byte{byte(i)}, noise...), nil })
	}
	replies, sum := s.call(s.bus("caller"), nil)
	require.Len(s, replies, 4, "an ack and one answer each")
	require.Equal(s, 2, sum.Done)
	for _, o := range sum.Servers {
		require.Zero(s, o.Lost)
		require.Equal(s, 2, o.Reply.Parts)
		var got []byte
		require.NoError(s, o.Reply.Result(&got))
		require.Equal(s, noise, got[1:])
		require.Equal(s, o.Server, fmt.Sprint(got[0]))
	}
}

func (s *callSuite) tooLarge() {
	s.server("a", false, func(context.Context) (any, error) { return make([]byte, 17<<20), nil })
	_, sum := s.call(s.bus("caller"), nil)
	require.Equal(s, 1, sum.Done)
	require.True(s, sum.Servers[0].Reply.Truncated)
	require.Contains(s, sum.Servers[0].Reply.Error, "larger than a result may be")
}

func (s *callSuite) undisturbed() {
	s.server("a", false, func(ctx context.Context) (any, error) { e, _ := event.FromContext(ctx); return e.ID, nil })
	s.server("b", false, func(context.Context) (any, error) { return nil, errors.New("fails") })
	one := s.bus("shared")
	var calls sync.WaitGroup
	for i := range s.many(120) {
		b := one
		if i%6 != 0 {
			b = s.bus(fmt.Sprint("caller ", i)) // as of another process: a hundred
		}
		calls.Go(func() {
			var sum event.Summary
			for _, err := range b.Call(s.Context(), theAct(), event.Wait(callPatience), event.Summarize(&sum)) {
				if err != nil {
					s.Error(err)
				}
			}
			var id bson.ObjectID
			if sum.Done != 1 || sum.Failed != 1 || sum.Missing+sum.Extra != 0 || sum.Servers[0].Reply.Result(&id) != nil || id != sum.EventID {
				s.Errorf("%+v", sum)
			}
		})
	}
	calls.Wait()
}

func (s *callSuite) callbacks() {
	s.server("a", false, func(ctx context.Context) (any, error) { return "yes", event.Emit(ctx, "words") })
	s.server("b", false, func(context.Context) (any, error) { return nil, event.Refuse("no") })
	var told []string
	note := func(what string) func(event.Reply) {
		return func(r event.Reply) { told = append(told, what+" "+r.Server) }
	}
	to := event.Callbacks{
		OnSubmit: func(m []event.Member) { told = append(told, fmt.Sprint("submit ", len(m))) },
		OnAck:    note("ack"), OnOutput: note("output"), OnExit: note("exit"),
		OnDone:  func(sum event.Summary) { told = append(told, fmt.Sprint("done ", sum.Done+sum.Refused)) },
		OnError: func(err error) { told = append(told, err.Error()) },
	}
	sum, err := s.bus("caller").CallFunc(s.Context(), theAct(), to, event.Wait(callPatience))
	require.NoError(s, err)
	require.True(s, sum.Complete())
	require.Equal(s, "submit 2", told[0])
	require.Equal(s, "done 2", told[len(told)-1])
	require.ElementsMatch(s, []string{"ack a", "output a", "exit a", "ack b", "exit b"}, told[1:len(told)-1])

	told, s.members = nil, nil
	_, err = s.bus("caller").CallFunc(s.Context(), theAct(), to)
	require.NoError(s, err)
	require.Equal(s, []string{"done 0"}, told)

	told = nil
	_, err = s.bus("caller").CallFunc(s.Context(), event.New("", "act", nil), to)
	require.ErrorIs(s, err, event.ErrInvalid)
	require.Equal(s, []string{err.Error()}, told)
}

func (s *callSuite) leaves() {
	ended := make(chan error, 2)
	for i := range 2 {
		s.server(fmt.Sprint(i), i == 1, func(ctx context.Context) (any, error) {
			if err := event.Emit(ctx, "it runs"); err != nil {
				return nil, err
			}
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil, nil
		})
	}
	running := 0
	_, sum := s.call(s.bus("caller"), func(r event.Reply) bool {
		if r.Kind == event.Output { // one that has not begun would be refused
			running++
		}
		return running == 2
	}, event.Lease())
	require.Equal(s, 1, sum.Missing)
	for range 2 {
		select {
		case err := <-ended:
			require.ErrorIs(s, err, event.ErrCallerGone)
		case <-time.After(callPatience):
			s.Fatal("the action goes on")
		}
	}
}

func (s *callSuite) afterwards() {
	late := make(chan error, 1)
	release := make(chan struct{})
	s.server("a", false, func(ctx context.Context) (any, error) {
		go func() { <-release; late <- event.Emit(context.WithoutCancel(ctx), "too late") }()
		return nil, nil
	})
	_, sum := s.call(s.bus("caller"), nil)
	close(release)
	require.Equal(s, 1, sum.Done)
	require.ErrorContains(s, <-late, "has given its answer already")
	require.Error(s, event.Emit(s.Context(), "no action"))
}
