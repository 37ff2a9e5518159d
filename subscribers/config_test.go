package subscribers_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/subscribers"
)

// settings are a Refresher whose refreshes end as the test says.
type settings struct {
	ends      []error // of the next refreshes; then nil
	refreshed int
}

func (s *settings) Refresh(context.Context) (config.Changes, error) {
	s.refreshed++
	if len(s.ends) > 0 {
		err := s.ends[0]
		s.ends = s.ends[1:]
		if err != nil {
			return nil, err
		}
	}
	return config.Changes{{Path: "app/n", Old: int64(1), New: int64(2)}}, nil
}

func (s *settings) Values() []config.Value {
	return []config.Value{{Path: "app/n", Value: int64(2), Origin: config.Origin{Layer: config.LayerFile, Name: "x:1"}}}
}

func TestConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &settings{ends: []error{nil, &config.FaultsError{Faults: []error{errors.New("app/n is wrong"), errors.New("app/m is, too")}}}}
		bus := event.NewBus(eventtest.NewLog(0), eventtest.NewLog(0), event.Config{
			Directory: everybody{}, Identity: event.Identity{ServerID: serverID},
		})
		_, err := bus.Subscribe(subscribers.NewConfig(s))
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- bus.Run(ctx) }()
		defer func() { stop(); require.NoError(t, <-done) }()
		<-bus.Listening()
		call := func(action string) (final event.Reply) {
			for r, err := range bus.Call(t.Context(), event.New("config", action, nil)) {
				require.NoError(t, err)
				final = r
			}
			return final
		}
		reply := call("refresh")
		require.Equal(t, event.Done, reply.Kind, reply.Error)
		var refreshed subscribers.Refreshed[config.Changes]
		require.NoError(t, reply.Result(&refreshed))
		require.Equal(t, config.Changes{{Path: "app/n", Old: int64(1), New: int64(2)}}, refreshed.Changed)

		reply = call("refresh")
		require.Equal(t, event.Failed, reply.Kind)
		require.Contains(t, reply.Error, "2 settings are wrong, nothing is changed:\napp/n is wrong\napp/m is, too")

		reply = call("list")
		require.Equal(t, event.Done, reply.Kind, reply.Error)
		var list subscribers.SettingList[[]config.Value]
		require.NoError(t, reply.Result(&list))
		require.Equal(t, s.Values(), list.Settings)
	})
}

// TestConfigRefreshesAfterAGap: what was missed may have been a refresh. It tries until
// the settings can be read; ones that are wrong are left to people.
func TestConfigRefreshesAfterAGap(t *testing.T) {
	away := fmt.Errorf("read: %w", config.ErrUnavailable)
	wrong := &config.FaultsError{Faults: []error{errors.New("app/n is wrong")}}
	for name, test := range map[string]struct {
		ends []error
		want int
		took time.Duration
	}{
		"at once":           {nil, 1, 0},
		"the database away": {[]error{away, away, away}, 4, 700 * time.Millisecond},
		"bad settings":      {[]error{away, wrong}, 2, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &settings{ends: test.ends}
				start := time.Now()
				subscribers.NewConfig(s).Gap(t.Context(), event.Gap{Reason: "rollover"})
				require.Equal(t, test.want, s.refreshed)
				require.Equal(t, test.took, time.Since(start))
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := &settings{}
		for range 1000 {
			s.ends = append(s.ends, away)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		subscribers.NewConfig(s).Gap(ctx, event.Gap{})
		require.Equal(t, 17, s.refreshed, "for as long as the bus runs, every 5 s in the end")
	})
}
