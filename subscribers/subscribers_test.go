package subscribers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/subscribers"
)

// control notes what it is asked to do.
type control struct{ asked []string }

func (c *control) note(format string, args ...any) (subscribers.ServerState, error) {
	c.asked = append(c.asked, fmt.Sprintf(format, args...))
	return subscribers.ServerState{Lifecycle: "running", Note: "noted"}, nil
}

func (c *control) Pause(context.Context) (subscribers.ServerState, error)   { return c.note("pause") }
func (c *control) Resume(context.Context) (subscribers.ServerState, error)  { return c.note("resume") }
func (c *control) Quiet(context.Context) (subscribers.ServerState, error)   { return c.note("quiet") }
func (c *control) Refresh(context.Context) (subscribers.ServerState, error) { return c.note("refresh") }

func (c *control) Resize(_ context.Context, n int) (subscribers.ServerState, error) {
	return c.note("resize %d", n)
}

func (c *control) Stop(_ context.Context, timeout *time.Duration) (subscribers.ServerState, error) {
	if timeout == nil {
		return c.note("stop")
	}
	return c.note("stop %s", *timeout)
}

func (c *control) Kill(_ context.Context, wait time.Duration) (subscribers.ServerState, error) {
	return c.note("kill %s", wait)
}

func (c *control) ThreadDump(_ context.Context, process bool) (subscribers.Dump, error) {
	_, err := c.note("dump %t", process)
	return subscribers.Dump{}, err
}

func (c *control) WorkerIDs() []int { return []int{2, 3, 5} }

func (c *control) StopWorker(_ context.Context, id int) (subscribers.WorkerOutcome, error) {
	_, _ = c.note("stop worker %d", id)
	return subscribers.WorkerOutcome{State: "stopped"}, nil
}

func (c *control) KillWorker(_ context.Context, id int, wait time.Duration) (subscribers.WorkerOutcome, error) {
	_, _ = c.note("kill worker %d %s", id, wait)
	return subscribers.WorkerOutcome{State: "abandoned"}, errors.New("hangs")
}

func (c *control) WorkerDump(_ context.Context, ids []int) (subscribers.Dump, error) {
	_, err := c.note("dump workers %v", ids)
	return subscribers.Dump{}, err
}

// call sends one event through a bus and returns the final answer.
func call(t *testing.T, c *control, e event.Event) event.Reply {
	t.Helper()
	log, replies := eventtest.NewLog(0), eventtest.NewLog(0)
	bus := event.NewBus(log, replies, event.Config{
		Directory: everybody{},
		Identity:  event.Identity{ServerID: serverID, HasWorker: func(int) bool { return true }},
	})
	level, err := logging.New("info")
	require.NoError(t, err)
	for _, s := range []event.Subscriber{
		&subscribers.Server{Control: c}, &subscribers.Worker{Control: c}, &subscribers.Logger{Control: level},
	} {
		_, err := bus.Subscribe(s)
		require.NoError(t, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- bus.Run(ctx) }()
	defer func() { stop(); require.NoError(t, <-done) }()
	<-bus.Listening()
	var final event.Reply
	for r, err := range bus.Call(t.Context(), e) {
		require.NoError(t, err)
		final = r
	}
	return final
}

var serverID = bson.NewObjectID()

type everybody struct{}

func (everybody) Members(context.Context) ([]event.Member, error) {
	return []event.Member{{ServerID: serverID, Workers: []int{2, 3, 5}}}, nil
}

func TestActionsReachTheControl(t *testing.T) {
	workers := func(ids ...int) event.Option { return event.To(event.Target{WorkerIDs: ids}) }
	for _, test := range []struct {
		event event.Event
		want  []string
		kind  event.ReplyKind
	}{
		{event.New("server", "pause", nil), []string{"pause"}, event.Done},
		{event.New("server", "pause", subscribers.PauseParameters{Sticky: true}), []string{"pause"}, event.Done},
		{event.New("server", "resize", bson.M{"max_workers": 8}), []string{"resize 8"}, event.Done},
		{event.New("server", "resize", bson.M{"max_workers": 0}), nil, event.Failed},
		{event.New("server", "resize", nil), nil, event.Failed},
		{event.New("server", "resume", nil), []string{"resume"}, event.Done},
		{event.New("server", "quiet", nil), []string{"quiet"}, event.Done},
		{event.New("server", "refresh", nil), []string{"refresh"}, event.Done},
		{event.New("server", "thread_dump", nil), []string{"dump false"}, event.Done},
		{event.New("server", "stop", nil), []string{"stop"}, event.Done},
		{event.New("server", "stop", bson.M{"timeout": "90s"}), []string{"stop 1m30s"}, event.Done},
		{event.New("server", "stop", bson.M{"timeout": 0}), []string{"stop 0s"}, event.Done},
		{event.New("server", "kill", nil), []string{"kill 5s"}, event.Done},
		{event.New("server", "kill", bson.M{"wait_timeout": 2.5}), []string{"kill 2.5s"}, event.Done},
		{event.New("server", "kill", subscribers.KillParameters{WaitTimeout: subscribers.Duration(time.Minute)}), []string{"kill 1m0s"}, event.Done},
		{event.New("server", "kill", bson.M{"wait_timeout": "-1s"}), nil, event.Failed},
		{event.New("server", "kill", bson.M{"wait_timeout": true}), nil, event.Failed},
		{event.New("worker", "stop", nil, workers(3)), []string{"stop worker 3"}, event.Done},
		{event.New("worker", "kill", nil, workers(3, 4)), []string{"kill worker 3 3s"}, event.Failed},
		{event.New("worker", "thread_dump", nil, workers(5)), []string{"dump workers [5]"}, event.Done},
		{event.New("worker", "thread_dump", nil), []string{"dump workers [2 3 5]"}, event.Done},
		{event.New("logger", "set", bson.M{"level": "debug"}), nil, event.Done},
		{event.New("logger", "set", bson.M{"level": "loud"}), nil, event.Failed},
		{event.New("logger", "set", nil), nil, event.Failed},
		{event.New("logger", "thread_dump", nil), nil, event.Done},
	} {
		t.Run(fmt.Sprintf("%s_%s_%s", test.event.Name, test.event.Action, test.event.Parameters), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &control{}
				reply := call(t, c, test.event)
				require.Equal(t, test.kind, reply.Kind, reply.Error)
				require.Equal(t, test.want, c.asked)
			})
		})
	}
}

func TestLogger(t *testing.T) {
	levels, err := logging.New("info")
	require.NoError(t, err)
	levels.Logger(zerolog.Nop(), "http")
	bus := event.NewBus(eventtest.NewLog(0), eventtest.NewLog(0), event.Config{Directory: everybody{}, Identity: event.Identity{ServerID: serverID}})
	_, err = bus.Subscribe(&subscribers.Logger{Control: levels})
	require.NoError(t, err)
	var out bytes.Buffer
	ctx, stop := context.WithCancel(levels.Logger(zerolog.New(&out), "").WithContext(t.Context()))
	done := make(chan error)
	go func() { done <- bus.Run(ctx) }()
	<-bus.Listening()
	answer := func(action string, parameters any, result any) event.Reply {
		var final event.Reply
		for r, err := range bus.Call(t.Context(), event.New("logger", action, parameters)) {
			require.NoError(t, err)
			final = r
		}
		if final.Kind == event.Done {
			require.NoError(t, final.Result(result))
		}
		return final
	}
	var change subscribers.LevelChange
	answer("set", bson.M{"level": "debug", "component": "http", "for": "10m"}, &change)
	minutes := subscribers.Duration(10 * time.Minute)
	require.WithinDuration(t, time.Now().Add(10*time.Minute), change.Until, time.Minute)
	change.Until = time.Time{}
	require.Equal(t, subscribers.LevelChange{Component: "http", Level: "debug", Previous: "info", For: &minutes}, change)

	var list subscribers.LevelList
	answer("list", nil, &list)
	require.Len(t, list.Components, 2)
	require.InDelta(t, 600_000, list.Components[1].LeftMS, 60_000)
	list.Components[1].LeftMS = 0
	require.Equal(t, []subscribers.ComponentLevel{
		{Level: "info", Own: "info"}, {Component: "http", Level: "debug", Own: "default"},
	}, list.Components)

	var dump subscribers.ProcessStacks
	answer("thread_dump", nil, &dump)
	require.Positive(t, dump.Goroutines)
	require.Contains(t, dump.Stacks, "TestLogger")
	require.Equal(t, event.Failed, answer("set", bson.M{"level": "loud"}, nil).Kind)
	change = subscribers.LevelChange{}
	answer("set", bson.M{"level": "warn", "component": "htpp"}, &change)
	require.True(t, change.Absent)
	stop()
	require.NoError(t, <-done)
	require.Contains(t, out.String(), "TestLogger", "the stacks are in the log, too")
}

func TestDuration(t *testing.T) {
	for want, value := range map[time.Duration]any{
		90 * time.Second: "1m30s", 1500 * time.Millisecond: 1.5, 2 * time.Second: int32(2), 3 * time.Second: int64(3), 0: 0,
	} {
		typ, data, err := bson.MarshalValue(value)
		require.NoError(t, err)
		var d subscribers.Duration
		require.NoError(t, d.UnmarshalBSONValue(byte(typ), data))
		require.Equal(t, want, time.Duration(d))
	}
	for says, value := range map[string]any{
		`"soon" is not a duration`: "soon", "is negative": "-1s", "not a BSON boolean": true, "not a BSON null": bson.Null{},
		"1e+300 seconds are no duration": 1e300, "NaN seconds": math.NaN(), "+Inf seconds": math.Inf(1), "9.3e+09 seconds": 9.3e9,
	} {
		typ, data, err := bson.MarshalValue(value)
		require.NoError(t, err)
		var d subscribers.Duration
		require.ErrorContains(t, d.UnmarshalBSONValue(byte(typ), data), says)
	}
}
