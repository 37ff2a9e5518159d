package console

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

func TestParametersAreReadByTheirTypes(t *testing.T) {
	id := bson.NewObjectID()
	for _, test := range []struct {
		kind, text string
		want       any // an error, if it is one
		fault      string
	}{
		{kind: "integer", text: " 7 ", want: int64(7)},
		{kind: "integer", text: "7.5", fault: "is no integer"},
		{kind: "number", text: "1e3", want: 1000.0},
		{kind: "number", text: "x", fault: "is no number"},
		{kind: "boolean", text: "true", want: true},
		{kind: "boolean", text: "perhaps", fault: "neither true nor false"},
		{kind: "text", text: " a ", want: "a"},
		{kind: "duration", text: "30s", want: "30s"},
		{kind: "time", text: "2026-01-31T12:00:00Z", want: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)},
		{kind: "time", text: "today", fault: "write it as 2026"},
		{kind: "id", text: id.Hex(), want: id},
		{kind: "id", text: "7", fault: "hex"},
		{kind: "list of integer", text: "1\n\n 2 \r\n", want: bson.A{int64(1), int64(2)}},
		{kind: "list of integer", text: "1,2", fault: "is no integer"},
		{kind: "document", text: `{"a": [1, "b"]}`, want: bson.D{{Key: "a", Value: bson.A{int32(1), "b"}}}},
		{kind: "document", text: `{"a": `, fault: "this is no JSON"},
		{kind: "any", text: `1, "more": 2`, fault: "more than one value"},
	} {
		info := event.ActionInfo{Parameters: []event.ParameterInfo{{Name: "x", Type: test.kind, Required: true}}}
		all := fields(info, url.Values{"p.x": {test.text}})
		doc, ok := parameters(all)
		if test.fault != "" {
			require.False(t, ok, test)
			require.Contains(t, all[0].Error, test.fault)
			continue
		}
		require.True(t, ok, "%v: %s", test, all[0].Error)
		require.Equal(t, bson.D{{Key: "x", Value: test.want}}, doc)
	}
}

func TestFieldsFollowTheActionTable(t *testing.T) {
	info := event.ActionInfo{Parameters: []event.ParameterInfo{
		{Name: "level", Type: "text", Rules: "oneof=debug info"}, {Name: "n", Type: "integer", Rules: "min=1,max=9", Default: "3"},
		{Name: "key", Type: "text", Secret: true}, {Name: "on", Type: "boolean"}, {Name: "must", Type: "text", Required: true},
	}}
	all := fields(info, url.Values{"p.n": {"12"}})
	require.Equal(t, []string{"", "debug", "info"}, all[0].Choices)
	require.Equal(t, [4]string{"number", "1", "9", "12"}, [4]string{all[1].Kind, all[1].Min, all[1].Max, all[1].Value})
	require.Contains(t, all[1].Hint(), "default 3")
	require.Equal(t, "password", all[2].Kind)
	require.Equal(t, []string{"", "true", "false"}, all[3].Choices)
	doc, ok := parameters(all)
	require.False(t, ok)
	require.Equal(t, "this one is required", all[4].Error)
	require.Equal(t, bson.D{{Key: "n", Value: int64(12)}}, doc, "what is empty is left out: its default counts")
}

func TestActionsAreThoseOfTheLiving(t *testing.T) {
	entry := func(name string, lost bool, doc string) server.Entry {
		e := server.Entry{Name: name, Actions: map[string][]string{"app": {"flush"}}, Table: []event.ActionInfo{{Subscriber: "app", Action: "flush", Doc: doc}}}
		if lost {
			e.Age = 24 * time.Hour
		}
		return e
	}
	old := server.Entry{Name: "old", Actions: map[string][]string{"app": {"flush", "sync"}}}
	got := actionsOf([]server.Entry{entry("a", false, "new"), entry("b", false, "new"), entry("c", false, "other"), entry("d", true, "lost"), old})
	require.Len(t, got, 2)
	require.Equal(t, "new", got[0].Doc, "as most have it")
	require.Equal(t, 4, got[0].Servers)
	require.True(t, got[1].Free, "an old server does not describe what it knows")
	var versions []string
	for _, v := range versionsOf([]server.Entry{entry("c", false, "other"), entry("a", false, "new"), entry("b", false, "new"), entry("d", true, "lost"), old}) {
		versions = append(versions, fmt.Sprint(v.Subscriber, " ", v.Action, " ", v.Doc, v.Servers))
	}
	require.Equal(t, []string{"app flush other[c]", "app flush new[a b]", "app flush [old]", "app sync [old]"}, versions)
}

func TestWaitsAsLongAsTheActionTakes(t *testing.T) {
	for _, test := range []struct {
		subscriber, action, typed string
		doc                       bson.D
		want                      time.Duration
		fault                     bool
	}{
		{"server", "pause", "", nil, event.DefaultWait, false},
		{"server", "stop", "", nil, server.DefaultShutdownTimeout + waitsLonger, false},
		{"server", "stop", "", bson.D{{Key: "timeout", Value: "2m"}}, 2*time.Minute + waitsLonger, false},
		{"server", "stop", "7s", nil, 7 * time.Second, false},
		{"app", "stop", "", nil, event.DefaultWait, false},
		{"server", "stop", "soon", nil, event.DefaultWait, true},
		{"server", "stop", "25h", nil, event.DefaultWait, true},
	} {
		got, err := waitFor(&draft{Subscriber: test.subscriber, Action: test.action, Wait: test.typed}, test.doc)
		require.Equal(t, test.fault, err != nil, test)
		require.Equal(t, test.want, got, test)
	}
}
