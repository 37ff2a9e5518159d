package subscribers_test

import (
	"context"
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

// slowLevels takes its time to set the first level, so that the next one is late.
type slowLevels struct {
	*logging.Levels
	first time.Duration
}

func (s *slowLevels) Set(component, level string, d time.Duration) (string, error) {
	time.Sleep(s.first)
	s.first = 0
	return s.Levels.Set(component, level, d)
}

// answerTo publishes logger set with these parameters and waits for the answer.
func answerTo(t *testing.T, bus *event.Bus, parameters any) (final event.Reply) {
	for r, err := range bus.Call(t.Context(), event.New("logger", "set", parameters), event.Wait(time.Hour)) {
		require.NoError(t, err)
		final = r
	}
	return final
}

func runLogger(t *testing.T, control subscribers.LoggerControl) (bus *event.Bus, events *eventtest.Log) {
	events = eventtest.NewLog(0)
	bus = event.NewBus(events, eventtest.NewLog(0), event.Config{
		Directory: everybody{}, Identity: event.Identity{ServerID: serverID},
	})
	_, err := bus.Subscribe(&subscribers.Logger{Control: control})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- bus.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-done) })
	<-bus.Listening()
	return bus, events
}

// TestLateLevelsLastForTheRest: --for counts from the publishing, not from when a
// server comes to it.
func TestLateLevelsLastForTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		levels, err := logging.New("info")
		require.NoError(t, err)
		levels.Logger(zerolog.Nop(), "event")
		bus, _ := runLogger(t, &slowLevels{levels, 4 * time.Minute})
		_, err = bus.Publish(t.Context(), event.New("logger", "set", bson.M{"level": "warn"}))
		require.NoError(t, err)
		start := time.Now()
		_, err = bus.Publish(t.Context(), event.New("logger", "set", bson.M{"level": "trace", "component": "event", "for": "1m"}))
		require.NoError(t, err)

		reply := answerTo(t, bus, bson.M{"level": "debug", "for": "10m"})
		require.Equal(t, event.Done, reply.Kind, reply.Error)
		require.Equal(t, 4*time.Minute, time.Since(start))
		var change subscribers.LevelChange
		require.NoError(t, reply.Result(&change))
		require.WithinRange(t, change.Until, start.Add(10*time.Minute), start.Add(10*time.Minute+time.Second))

		list := levels.List()
		require.Equal(t, "debug", list[0].Level)
		require.InDelta(t, 6*time.Minute, list[0].Left, float64(time.Second), "the rest")
		require.False(t, list[1].Passing, "its minute was over: not applied at all")
		time.Sleep(6*time.Minute + time.Second)
		synctest.Wait()
		require.Equal(t, "warn", levels.List()[0].Level)
	})
}

func TestLevelThatIsOverIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		levels, err := logging.New("info")
		require.NoError(t, err)
		bus, _ := runLogger(t, &slowLevels{levels, 4 * time.Minute})
		_, err = bus.Publish(t.Context(), event.New("logger", "set", bson.M{"level": "warn"}))
		require.NoError(t, err)
		reply := answerTo(t, bus, bson.M{"level": "debug", "for": "1m"})
		require.Equal(t, event.Refused, reply.Kind)
		require.Contains(t, reply.Error, "was for 1m0s, which was over")
		require.Equal(t, "warn", levels.List()[0].Level)
	})
}

// TestLevelsGoByTheClockOfTheDatabase: a process whose own clock is an hour off
// neither refuses what is new, nor keeps it for longer.
func TestLevelsGoByTheClockOfTheDatabase(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Hour, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			levels, err := logging.New("info")
			require.NoError(t, err)
			events := eventtest.NewLog(0)
			events.Skew(ahead)
			bus := event.NewBus(events, eventtest.NewLog(0), event.Config{
				Directory: everybody{}, Identity: event.Identity{ServerID: serverID},
			})
			_, err = bus.Subscribe(&subscribers.Logger{Control: levels})
			require.NoError(t, err)
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- bus.Run(ctx) }()
			<-bus.Listening()

			reply := answerTo(t, bus, bson.M{"level": "debug", "for": "10m"})
			require.Equal(t, event.Done, reply.Kind, reply.Error)
			var change subscribers.LevelChange
			require.NoError(t, reply.Result(&change))
			require.WithinDuration(t, time.Now().Add(ahead+10*time.Minute), change.Until, time.Second)
			require.InDelta(t, 10*time.Minute, levels.List()[0].Left, float64(time.Second))
			stop()
			require.NoError(t, <-done)
		})
	}
}

// TestComponentsThatAreNotThere are nothing to do: not every program of a fleet has
// them.
func TestComponentsThatAreNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		levels, err := logging.New("info")
		require.NoError(t, err)
		levels.Logger(zerolog.Nop(), "http")
		bus, _ := runLogger(t, levels)
		reply := answerTo(t, bus, bson.M{"level": "debug", "component": "htpp"})
		require.Equal(t, event.Done, reply.Kind, reply.Error)
		var change subscribers.LevelChange
		require.NoError(t, reply.Result(&change))
		require.Equal(t, subscribers.LevelChange{Component: "htpp", Absent: true, Components: []string{"http"}}, change)
		require.Equal(t, "info", levels.List()[1].Level)
	})
}
