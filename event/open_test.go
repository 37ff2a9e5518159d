package event

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// TestOpenTriesThroughAFailOver looks at what Open tries again.
func TestOpenTriesThroughAFailOver(t *testing.T) {
	for _, test := range []struct {
		err   error
		again bool
	}{
		{mongo.CommandError{Code: 189, Message: "stepped down"}, true},
		{mongo.CommandError{Code: 10107, Message: "not primary"}, true},
		{mongo.CommandError{Labels: []string{"NetworkError"}}, true},
		{mongo.CommandError{Code: 13, Message: "not authorized"}, false},
		{mongo.CommandError{Code: 18, Message: "authentication failed"}, false},
		{&NotCappedError{Namespace: "a.events"}, false},
		{context.DeadlineExceeded, false},
		{errors.New("other"), false},
	} {
		require.Equal(t, test.again, isPassing(fmt.Errorf("open: %w", test.err)), test.err)
	}
}
