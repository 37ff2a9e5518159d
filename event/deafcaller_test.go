package event_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
)

// unreadable is a Log whose readers are told what they cannot do.
type unreadable struct {
	event.Log
	tell func(event.Reader)
}

func (u unreadable) Read(ctx context.Context, _ event.Position, r event.Reader) error {
	u.tell(r)
	<-ctx.Done()
	return nil
}

// oneServer is a Directory of a server that never answers.
type oneServer struct{}

func (oneServer) Members(context.Context) ([]event.Member, error) {
	return []event.Member{{ServerID: bson.ObjectID{1}, Name: "one", Actions: map[string][]string{"a": {"b"}}}}, nil
}

// TestDeafCaller is a caller that cannot read the answers: it does not blame the
// servers.
func TestDeafCaller(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		tell func(event.Reader)
		want string
	}{
		"it hears":      {func(r event.Reader) { r.State(event.StateListening, event.Position{}, nil) }, ""},
		"it cannot":     {func(r event.Reader) { r.State(event.StateConnecting, event.Position{}, broken) }, "broken"},
		"it has missed": {func(r event.Reader) { r.Gap(event.Gap{Reason: "rolled over"}) }, "rolled over"},
		"it hears again": {func(r event.Reader) {
			r.State(event.StateConnecting, event.Position{}, broken)
			r.State(event.StateListening, event.Position{}, nil)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				replies := unreadable{eventtest.NewLog(0), func(r event.Reader) {
					time.Sleep(time.Second) // the call is under way
					test.tell(r)
				}}
				bus := event.NewBus(eventtest.NewLog(0), replies, event.Config{Directory: oneServer{}})
				var summary event.Summary
				var fault error
				for _, err := range bus.Call(t.Context(), event.New("a", "b", nil), event.Summarize(&summary)) {
					fault = err
				}
				require.Equal(t, 1, summary.Missing)
				if test.want == "" {
					require.NoError(t, fault)
				} else {
					require.ErrorContains(t, fault, test.want)
				}
			})
		})
	}
}
