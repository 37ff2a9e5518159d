package event

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

type idle struct{}

func (idle) Name() string { return "idle" }
func (idle) Actions() []Action {
	return []Action{On("do", func(context.Context, None) error { return nil })}
}

// TestOfferAfterClose is the listener that has looked up a subscription just
// before it is closed: the event is answered all the same.
func TestOfferAfterClose(t *testing.T) {
	b := NewBus(nil, nil, Config{})
	sub, err := b.Subscribe(idle{})
	require.NoError(t, err)
	sub.Close()
	e := New("idle", "do", nil)
	e.Reply = true
	(&listener{bus: b}).hand(sub, b.newAnswer(e, 1), sub.actions["do"])
	require.Len(t, b.answers.queue, 1)
	reply := <-b.answers.queue
	require.Equal(t, Refused, reply.Kind)
	require.Equal(t, closedReason, reply.Error)
}
