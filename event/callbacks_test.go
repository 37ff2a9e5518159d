package event

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// TestCallbacksWhenRepliesAreLateOrLost: each is called once, in its order, also for
// servers whose acknowledgement is late, lost or comes twice.
func TestCallbacksWhenRepliesAreLateOrLost(t *testing.T) {
	for name, test := range map[string]struct{ replies, want []ReplyKind }{
		"as it should be":    {[]ReplyKind{Ack, Output, Done}, []ReplyKind{Ack, Output, Done}},
		"ack after output":   {[]ReplyKind{Output, Ack, Done}, []ReplyKind{Ack, Output, Done}},
		"ack after the exit": {[]ReplyKind{Refused, Ack}, []ReplyKind{Ack, Refused}},
		"ack lost":           {[]ReplyKind{Failed}, []ReplyKind{Ack, Failed}},
		"all twice":          {[]ReplyKind{Ack, Ack, Done, Done}, []ReplyKind{Ack, Done}},
		"output too late":    {[]ReplyKind{Ack, Done, Output}, []ReplyKind{Ack, Done}},
	} {
		t.Run(name, func(t *testing.T) {
			var told []ReplyKind
			note := func(kind ReplyKind) func(Reply) { return func(Reply) { told = append(told, kind) } }
			r := teller{acked: map[replier]bool{}, exited: map[replier]bool{}, to: Callbacks{
				OnAck: note(Ack), OnOutput: note(Output), OnExit: func(r Reply) { told = append(told, r.Kind) },
			}}
			for _, kind := range test.replies {
				r.tell(Reply{ServerID: bson.ObjectID{1}, Kind: kind})
			}
			require.Equal(t, test.want, told)
		})
	}
}
