package console

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
)

func TestDescribedParameters(t *testing.T) {
	info := event.ActionInfo{Parameters: []event.ParameterInfo{{Name: "a"}}}
	for want, doc := range map[bool]event.Event{
		true: event.New("x", "y", map[string]any{"a": 1}), false: event.New("x", "y", map[string]any{"b": 1}),
	} {
		require.Equal(t, want, described(info, doc.Parameters))
		require.True(t, described(event.ActionInfo{Free: true}, doc.Parameters), "the table says that there may be others")
	}
	require.True(t, described(info, nil))
}

func TestParametersThatFitTheirTypes(t *testing.T) {
	id := bson.NewObjectID()
	for kind, values := range map[string]struct{ fit, not []any }{
		"text":                 {[]any{"a", nil}, []any{1, true, bson.A{}}},
		"integer":              {[]any{int32(1), int64(1), 2.0, nil}, []any{2.5, "2", true}},
		"number":               {[]any{int32(1), int64(1), 2.5}, []any{"2.5"}},
		"boolean":              {[]any{true}, []any{"true", 1}},
		"duration":             {[]any{"30s", 30, int64(1), 1.5}, []any{true, bson.A{}}},
		"time":                 {[]any{time.Now(), "2026-01-31T12:00:00Z"}, []any{true, bson.D{}}},
		"id":                   {[]any{id, id.Hex()}, []any{"7", 7}},
		"document":             {[]any{bson.D{}}, nil},
		"any":                  {[]any{1, "a", bson.A{}}, nil},
		"list of integer":      {[]any{bson.A{}, bson.A{1, 2.0}, nil}, []any{bson.A{1, "2"}, 1, bson.D{}}},
		"list of list of text": {[]any{bson.A{bson.A{"a"}}}, []any{bson.A{"a"}}},
	} {
		info := event.ActionInfo{Parameters: []event.ParameterInfo{{Name: "p", Type: kind, Required: true}}}
		for _, v := range values.fit {
			require.NoError(t, misfits(info, event.New("x", "y", bson.D{{Key: "p", Value: v}}).Parameters), "%s %v", kind, v)
		}
		for _, v := range values.not {
			require.ErrorContains(t, misfits(info, event.New("x", "y", bson.D{{Key: "p", Value: v}}).Parameters), "parameters.p", "%s %v", kind, v)
		}
		require.ErrorContains(t, misfits(info, nil), "parameters.p: this one is required")
	}
	withDefault := event.ActionInfo{Parameters: []event.ParameterInfo{{Name: "p", Type: "integer", Required: true, Default: "3"}}}
	require.NoError(t, misfits(withDefault, nil), "the servers have one")
	err := misfits(event.ActionInfo{Parameters: []event.ParameterInfo{{Name: "p", Type: "integer", Secret: true}}}, event.New("x", "y", bson.D{{Key: "p", Value: "hunter2"}}).Parameters)
	require.NotContains(t, err.Error(), "hunter2")
}
