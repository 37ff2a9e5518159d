package event_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/event"
)

// registry is a Directory whose members come and go.
type registry struct {
	mu      sync.Mutex
	members []event.Member
	away    []string
	deaf    []string
	err     error
	looks   int
}

func (r *registry) Members(context.Context) ([]event.Member, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks++
	var there []event.Member
	for _, m := range r.members {
		if m.Deaf = slices.Contains(r.deaf, m.Name); !slices.Contains(r.away, m.Name) {
			there = append(there, m)
		}
	}
	return there, r.err
}

// are says who is not there, and who is deaf.
func (r *registry) are(away, deaf []string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away, r.deaf, r.err = away, deaf, err
}

// goneFleet is a fleet of the servers "quick", which answers at once, "slow", which
// does after a time, and "dead", which never does.
type goneFleet struct {
	*fleet
	*registry
	target event.Target
	slow   time.Duration
	told   []string // by OnGone
}

func inGoneFleet(t *testing.T, test func(t *testing.T, f *goneFleet)) {
	inBubble(t, func(t *testing.T, fleet *fleet) {
		f := &goneFleet{fleet: fleet, registry: &registry{}}
		f.server("quick", &recorder{})
		f.server("slow", &recorder{do: func(context.Context, parameters) (string, error) {
			time.Sleep(f.slow)
			return "", nil
		}})
		f.server("dead", &recorder{do: func(ctx context.Context, _ parameters) (string, error) {
			<-ctx.Done()
			return "", nil
		}})
		f.registry.members = f.fleet.members
		test(t, f)
	})
}

// call calls all of them for ten minutes at most, and returns the summary and how
// long it took.
func (f *goneFleet) call(opts ...event.CallOption) (event.Summary, time.Duration, error) {
	start := time.Now()
	bus := event.NewBus(f.events, f.replies, event.Config{Directory: f.registry})
	opts = append([]event.CallOption{event.Wait(10 * time.Minute)}, opts...)
	sum, err := bus.CallFunc(f.t.Context(), numbered(1, event.To(f.target)), event.Callbacks{
		OnGone: func(o event.Outcome) { f.told = append(f.told, o.Server) },
	}, opts...)
	return sum, time.Since(start), err
}

func TestServerThatIsLostIsNotWaitedFor(t *testing.T) {
	inGoneFleet(t, func(t *testing.T, f *goneFleet) {
		time.AfterFunc(62*time.Second, func() { f.are([]string{"dead"}, nil, nil) })
		sum, took, err := f.call()
		require.NoError(t, err)
		require.Equal(t, 70*time.Second, took, "at the second look")
		require.Equal(t, []int{3, 3, 2, 1, 1}, []int{sum.Matched, sum.Acked, sum.Done, sum.Missing, sum.Gone})
		require.False(t, sum.Complete())
		require.True(t, sum.Servers[2].Gone)
		require.Equal(t, []string{"dead"}, f.told)
	})
}

func TestServerThatIsLostIsNotWaitedForWhileOthersAre(t *testing.T) {
	inGoneFleet(t, func(t *testing.T, f *goneFleet) {
		f.slow = 5*time.Minute + time.Second
		time.AfterFunc(time.Second, func() { f.are([]string{"dead"}, nil, nil) })
		sum, took, err := f.call()
		require.NoError(t, err)
		require.Equal(t, f.slow, took)
		require.Equal(t, []int{2, 1, 1}, []int{sum.Done, sum.Missing, sum.Gone})
		require.Equal(t, []string{"dead"}, f.told, "once")
	})
}

// TestServersThatComeBackAreExpectedAgain were merely slow to beat.
func TestServersThatComeBackAreExpectedAgain(t *testing.T) {
	inGoneFleet(t, func(t *testing.T, f *goneFleet) {
		f.slow = time.Minute + time.Second
		time.AfterFunc(time.Second, func() { f.are([]string{"dead"}, nil, nil) })
		time.AfterFunc(31*time.Second, func() { f.are(nil, nil, nil) })
		sum, took, err := f.call()
		require.NoError(t, err)
		require.Equal(t, 10*time.Minute, took)
		require.Equal(t, []int{2, 1, 0}, []int{sum.Done, sum.Missing, sum.Gone})
		require.Equal(t, []string{"dead"}, f.told)
		require.False(t, sum.Servers[2].Gone)
	})
}

func TestAnswerOfAServerThatHadGoneCounts(t *testing.T) {
	inGoneFleet(t, func(t *testing.T, f *goneFleet) {
		f.slow = time.Minute + time.Second
		time.AfterFunc(time.Second, func() { f.are([]string{"slow"}, nil, nil) })
		time.AfterFunc(2*time.Minute+time.Second, func() { f.are([]string{"slow", "dead"}, nil, nil) })
		sum, took, err := f.call()
		require.NoError(t, err)
		require.Equal(t, 2*time.Minute+10*time.Second, took)
		require.Equal(t, []int{2, 1, 1}, []int{sum.Done, sum.Missing, sum.Gone})
		require.Equal(t, []string{"slow", "dead"}, f.told)
	})
}

// TestServerThatLeavesAndThenAnswers is one that is stopped.
func TestServerThatLeavesAndThenAnswers(t *testing.T) {
	inGoneFleet(t, func(t *testing.T, f *goneFleet) {
		f.slow = 12 * time.Second
		time.AfterFunc(9*time.Second, func() { f.are([]string{"slow", "dead"}, nil, nil) })
		sum, took, err := f.call()
		require.NoError(t, err)
		require.Equal(t, 15*time.Second, took)
		require.Equal(t, []int{2, 1, 1}, []int{sum.Done, sum.Missing, sum.Gone})
		require.Equal(t, []string{"dead"}, f.told)
	})
}

func TestNobodyHasGoneWhenTheDirectoryCannotBeRead(t *testing.T) {
	inGoneFleet(t, func(t *testing.T, f *goneFleet) {
		time.AfterFunc(time.Second, func() { f.are([]string{"dead"}, nil, errors.New("no primary")) })
		sum, took, err := f.call()
		require.NoError(t, err)
		require.Equal(t, 10*time.Minute, took)
		require.Equal(t, []int{1, 0}, []int{sum.Missing, sum.Gone})
		require.Greater(t, f.looks, 100, "it asks on")
	})
}

// TestMinimumIsNotWaitedForWhenNobodyJoins: who has not acknowledged by then was not
// there when the event was published.
func TestMinimumIsNotWaitedForWhenNobodyJoins(t *testing.T) {
	inGoneFleet(t, func(t *testing.T, f *goneFleet) {
		f.target.Names = []string{"quick"}
		sum, took, err := f.call(event.AtLeast(2))
		require.NoError(t, err)
		require.Equal(t, []int{1, 1, 0, 1}, []int{sum.Matched, sum.Done, sum.Missing, sum.Short()})
		require.Equal(t, 10*time.Second, took)
	})
}

// TestMinimumIsWaitedForWhenOthersHaveJoined, however long they take.
func TestMinimumIsWaitedForWhenOthersHaveJoined(t *testing.T) {
	inGoneFleet(t, func(t *testing.T, f *goneFleet) {
		f.target.Names = []string{"quick", "slow"}
		f.slow = time.Minute
		f.are([]string{"slow"}, nil, nil)
		sum, took, err := f.call(event.AtLeast(2))
		require.NoError(t, err)
		require.Equal(t, []int{1, 1, 1, 0}, []int{sum.Matched, sum.Done, sum.Extra, sum.Short()})
		require.Equal(t, time.Minute, took)
	})
}

// TestMinimumThatJoinersDoNotReach ends when nobody else can join.
func TestMinimumThatJoinersDoNotReach(t *testing.T) {
	inGoneFleet(t, func(t *testing.T, f *goneFleet) {
		f.target.Names = []string{"quick", "slow"}
		f.slow = 9 * time.Second
		f.are([]string{"slow"}, nil, nil)
		sum, took, err := f.call(event.AtLeast(3))
		require.NoError(t, err)
		require.Equal(t, []int{1, 1, 1}, []int{sum.Done, sum.Extra, sum.Short()})
		require.Equal(t, 10*time.Second, took)
	})
}

// TestServerThatTurnsDeafIsNamedSo, for as long as it is.
func TestServerThatTurnsDeafIsNamedSo(t *testing.T) {
	for name, test := range map[string]struct {
		after func(f *goneFleet)
		want  int
	}{
		"and stays so":    {func(*goneFleet) {}, 1},
		"and hears again": {func(f *goneFleet) { f.are(nil, nil, nil) }, 0},
		"and goes":        {func(f *goneFleet) { f.are([]string{"dead"}, []string{"dead"}, nil) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inGoneFleet(t, func(t *testing.T, f *goneFleet) {
				time.AfterFunc(time.Second, func() { f.are(nil, []string{"dead", "quick"}, nil) })
				time.AfterFunc(time.Minute, func() { test.after(f) })
				sum, _, err := f.call()
				require.NoError(t, err)
				require.Equal(t, 1, sum.Missing)
				require.Equal(t, test.want, sum.Deaf)
			})
		})
	}
}

// TestDeafCallerSaysNobodyHasGone: the server may have answered before it left.
func TestDeafCallerSaysNobodyHasGone(t *testing.T) {
	inGoneFleet(t, func(t *testing.T, f *goneFleet) {
		broken := errors.New("broken")
		replies := unreadable{f.replies, func(r event.Reader) { r.State(event.StateConnecting, event.Position{}, broken) }}
		bus := event.NewBus(f.events, replies, event.Config{Directory: f.registry})
		time.AfterFunc(time.Second, func() { f.are([]string{"quick", "slow", "dead"}, nil, nil) })
		sum, err := bus.CallFunc(t.Context(), numbered(1), event.Callbacks{}, event.Wait(time.Minute))
		require.ErrorIs(t, err, broken)
		require.Equal(t, []int{3, 0}, []int{sum.Missing, sum.Gone})
	})
}

// TestHowACallEndsThatDoesNotWait is written down as it was.
func TestHowACallEndsThatDoesNotWait(t *testing.T) {
	for name, test := range map[string]struct {
		away []string
		to   []string
		opts []event.CallOption
		want event.Ending
	}{
		"the rest has gone":     {[]string{"dead"}, nil, nil, event.EndedGone},
		"nobody joins":          {nil, []string{"quick"}, []event.CallOption{event.AtLeast(2)}, event.EndedWait},
		"gone, and the minimum": {[]string{"dead"}, nil, []event.CallOption{event.AtLeast(3)}, event.EndedGone},
	} {
		t.Run(name, func(t *testing.T) {
			inGoneFleet(t, func(t *testing.T, f *goneFleet) {
				a := &auditor{fleet: f.fleet}
				bus := event.NewBus(f.events, f.replies, event.Config{Directory: struct {
					*registry
					event.Auditor
				}{f.registry, a}})
				time.AfterFunc(time.Second, func() { f.are(test.away, nil, nil) })
				opts := append([]event.CallOption{event.Wait(time.Minute)}, test.opts...)
				_, err := bus.CallFunc(t.Context(), numbered(1, event.To(event.Target{Names: test.to})), event.Callbacks{}, opts...)
				require.NoError(t, err)
				require.Equal(t, test.want, a.outcomes[0].Ending)
				require.Equal(t, 10*time.Second, a.outcomes[0].Summary.Duration)
			})
		})
	}
}
