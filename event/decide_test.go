package event

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

func TestTarget(t *testing.T) {
	id := &Identity{
		ServerID: bson.NewObjectID(), Name: "web-1", Host: "h1.example.org", PID: 42,
		Labels:    map[string]string{"role": "web", "path": "a/b"},
		HasWorker: func(n int) bool { return n == 2 },
	}
	other := bson.NewObjectID()
	tests := map[string]struct {
		target Target
		want   bool
	}{
		"everybody":                  {Target{}, true},
		"server id":                  {Target{ServerIDs: []bson.ObjectID{other, id.ServerID}}, true},
		"other server id":            {Target{ServerIDs: []bson.ObjectID{other}}, false},
		"name":                       {Target{Names: []string{"db", "web-1"}}, true},
		"name is case sensitive":     {Target{Names: []string{"Web-1"}}, false},
		"name pattern":               {Target{Names: []string{"web-*"}}, true},
		"name class":                 {Target{Names: []string{"web-[2-9]"}}, false},
		"name prefix is no pattern":  {Target{Names: []string{"web"}}, false},
		"escaped star":               {Target{Names: []string{`web-\*`}}, false},
		"host pattern":               {Target{Hosts: []string{"h?.example.org"}}, true},
		"pid":                        {Target{PIDs: []int{41, 42}}, true},
		"other pid":                  {Target{PIDs: []int{41}}, false},
		"worker":                     {Target{WorkerIDs: []int{1, 2}}, true},
		"worker not here":            {Target{WorkerIDs: []int{3}}, false},
		"label":                      {Target{Labels: map[string]string{"role": "web"}}, true},
		"label pattern over a slash": {Target{Labels: map[string]string{"path": "a*"}}, true},
		"label missing":              {Target{Labels: map[string]string{"zone": "*"}}, false},
		"all labels":                 {Target{Labels: map[string]string{"role": "web", "path": "c"}}, false},
		"all kinds must match":       {Target{Names: []string{"web-1"}, PIDs: []int{1}}, false},
		"all kinds match":            {Target{Names: []string{"web-1"}, PIDs: []int{42}, WorkerIDs: []int{2}}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, test.target.Validate())
			got, err := test.target.Matches(id)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestTargetOfANewerPublisherIsNotTakenForAWiderOne(t *testing.T) {
	for name, doc := range map[string]bson.D{
		"unknown kind":  {{Key: "planets", Value: bson.A{"mars"}}},
		"no array":      {{Key: "pids", Value: 42}},
		"wrong type":    {{Key: "names", Value: bson.A{42}}},
		"wrong pattern": {{Key: "names", Value: bson.A{"[a"}}},
		"wrong labels":  {{Key: "labels", Value: bson.A{}}},
		"wrong label":   {{Key: "labels", Value: bson.D{{Key: "a", Value: 1}}}},
	} {
		raw, err := bson.Marshal(doc)
		require.NoError(t, err)
		ok, err := matchTarget(raw, &Identity{Name: "x", Labels: map[string]string{"a": "1"}})
		require.False(t, ok, name)
		var malformed *MalformedError
		require.ErrorAs(t, err, &malformed, name)
	}
}

func TestEventSurvivesItsEncoding(t *testing.T) {
	e := New("example", "greet", bson.M{"n": 1}, To(Target{Names: []string{"a*"}, Labels: map[string]string{"k": "v"}}),
		Expires(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)))
	e.Time, e.Reply = bson.Timestamp{T: 7, I: 8}, true
	e.Publisher = thisProcess()
	raw, err := e.encode()
	require.NoError(t, err)
	stamped := setTime(t, raw, e.Time)
	got, err := Decode(stamped)
	require.NoError(t, err)
	require.Equal(t, e, got)
}

// setTime does what the database does.
func setTime(t testing.TB, raw bson.Raw, ts bson.Timestamp) bson.Raw {
	var doc bson.D
	require.NoError(t, bson.Unmarshal(raw, &doc))
	for i := range doc {
		if doc[i].Key == "ts" {
			doc[i].Value = ts
		}
	}
	out, err := bson.Marshal(doc)
	require.NoError(t, err)
	return out
}

func TestNearest(t *testing.T) {
	known := []string{"pause", "resume", "stop", "thread_dump"}
	for name, want := range map[string]string{
		"puase": "pause", "Stop": "stop", "thread-dump": "thread_dump", "explode": "", "x": "",
	} {
		require.Equal(t, want, nearest(name, known), name)
	}
}

// FuzzDecode feeds any bytes to what reads the collection.
func FuzzDecode(f *testing.F) {
	e := New("example", "greet", bson.M{"n": 1}, To(Target{Names: []string{"a*"}, PIDs: []int{3}}))
	raw, err := e.encode()
	require.NoError(f, err)
	f.Add([]byte(raw))
	f.Add([]byte(setTime(f, raw, bson.Timestamp{T: 1, I: 1})))
	f.Add([]byte{5, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var h header
		parsed := h.parse(data)
		if parsed == nil && h.target != nil {
			_, _ = matchTarget(h.target, &Identity{Name: "abc"})
		}
		if e, err := Decode(data); err == nil {
			require.NoError(t, parsed)
			require.Equal(t, string(h.name), e.Name)
		}
		_, _ = keyOf(data)
		_, _ = DecodeReply(data)
	})
}

// FuzzTarget holds the decision on patterns against any names.
func FuzzTarget(f *testing.F) {
	f.Add("web-*", "web-1")
	f.Add("[", "x")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		target := Target{Names: []string{pattern}}
		valid := target.Validate() == nil
		ok, err := target.Matches(&Identity{Name: name})
		if valid && err != nil {
			t.Fatalf("pattern %q passed the check but not the match of %q: %v", pattern, name, err)
		}
		if pattern == name && valid && !ok {
			t.Fatalf("%q does not match itself", name)
		}
	})
}

// benchListener is a listener of a server that has the subscriber "server".
func benchListener(b *testing.B, handle func(context.Context, stopping) error) (*listener, *Bus) {
	bus := NewBus(nil, nil, Config{Identity: Identity{Name: "web-1", Host: "host-1", Labels: map[string]string{"role": "web"}}})
	_, err := bus.Subscribe(table{On("stop", handle)})
	require.NoError(b, err)
	log := zerolog.Nop()
	return &listener{bus: bus, log: &log, malformed: map[string]bool{}}, bus
}

// stopping are the parameters of its action.
type stopping struct {
	Timeout string `bson:"timeout"`
}

type table []Action

func (table) Name() string        { return "server" }
func (t table) Actions() []Action { return t }

func benchEvent(b *testing.B, target Target) bson.Raw {
	e := New("server", "stop", stopping{"30s"}, To(target))
	e.Publisher = thisProcess()
	raw, err := e.encode()
	require.NoError(b, err)
	return setTime(b, raw, bson.Timestamp{T: uint32(time.Now().Unix()), I: 1})
}

// BenchmarkForeignEvent is the cost of an event that is meant for somebody else.
func BenchmarkForeignEvent(b *testing.B) {
	for name, target := range map[string]Target{
		"server_id": {ServerIDs: []bson.ObjectID{bson.NewObjectID()}},
		"name":      {Names: []string{"web-2"}},
		"pattern":   {Names: []string{"db-*"}},
		"label":     {Labels: map[string]string{"role": "db"}},
		"host_pid":  {Hosts: []string{"host-1"}, PIDs: []int{1}},
	} {
		b.Run(name, func(b *testing.B) {
			l, bus := benchListener(b, func(context.Context, stopping) error { return nil })
			raw := benchEvent(b, target)
			b.ReportAllocs()
			for b.Loop() {
				l.Entry(raw, Position{})
			}
			require.Zero(b, bus.Health().Delivered)
			require.Zero(b, bus.Health().Malformed)
		})
	}
}

// BenchmarkDispatch is the cost of a matching event until its handler runs, and
// of the return to the subscription.
func BenchmarkDispatch(b *testing.B) {
	handled := make(chan struct{})
	l, bus := benchListener(b, func(context.Context, stopping) error { handled <- struct{}{}; return nil })
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	require.NoError(b, bus.begin(ctx))
	raw := benchEvent(b, Target{Names: []string{"web-*"}})
	b.ReportAllocs()
	for b.Loop() {
		l.Entry(raw, Position{})
		<-handled
	}
}
