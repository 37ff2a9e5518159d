package event_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
)

type Place struct {
	City string `bson:"city" validate:"required"`
}

type greeting struct {
	Name  string  `bson:"name" validate:"required"`
	Port  int     `bson:"port" validate:"min=1,max=65535"`
	Level string  `bson:"level,omitempty" validate:"omitempty,oneof=low high"`
	Mail  *string `bson:"mail" validate:"omitempty,email"`
	Where *Place  `bson:"where"`
	Place `bson:",inline"`
}

func (g *greeting) SetDefaults() { g.Port, g.City = 80, "Ulm" }

var greet = event.Define[greeting, string]("example", "greet", event.Doc("greet somebody"))

type greeter struct{}

func (greeter) Name() string { return "example" }
func (g greeter) Actions() []event.Action {
	return []event.Action{greet.Do(g.greet), event.On("nothing", func(context.Context, event.None) error { return nil })}
}

func (greeter) greet(_ context.Context, g greeting) (string, error) {
	return fmt.Sprintf("hello %s:%d of %s", g.Name, g.Port, g.City), nil
}

func TestDefinition(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.server("a", greeter{})
		for r, err := range f.bus(event.Config{}).Call(t.Context(), greet.New(greeting{Name: "Jack", Port: 7, Place: Place{"Bonn"}})) {
			require.NoError(t, err)
			if r.Kind.Final() {
				require.Equal(t, event.Done, r.Kind, r.Error)
				result, err := greet.Result(r)
				require.NoError(t, err)
				require.Equal(t, "hello Jack:7 of Bonn", result)
			}
		}
	})
}

func TestParametersNameWhatIsWrong(t *testing.T) {
	inBubble(t, func(t *testing.T, f *fleet) {
		f.server("a", greeter{})
		bus := f.bus(event.Config{})
		for name, test := range map[string]struct {
			action     string
			parameters any
			says       string
		}{
			"defaults":        {"greet", bson.M{"name": "Jo"}, ""},
			"another case":    {"greet", bson.M{"NAME": "Jo"}, ""},
			"required":        {"greet", nil, `parameter "name" is missing`},
			"misspelt":        {"greet", bson.M{"name": "Jo", "prot": 7}, `unknown parameter "prot"; did you mean "port"? (known: name, port, level, mail, where, city)`},
			"unknown":         {"greet", bson.M{"name": "Jo", "elephants": 7}, `unknown parameter "elephants" (known:`},
			"type":            {"greet", bson.M{"name": 7}, "name"},
			"rule":            {"greet", bson.M{"name": "Jo", "port": 70000}, `parameter "port" is 70000: it must be at most 65535`},
			"rule of words":   {"greet", bson.M{"name": "Jo", "level": "mid"}, `parameter "level" is mid: it must be one of low high`},
			"a long value":    {"greet", bson.M{"name": "Jo", "level": strings.Repeat("ü", 200)}, `parameter "level" is ` + strings.Repeat("ü", 100) + `…: it must be one of low high`},
			"rule by name":    {"greet", bson.M{"name": "Jo", "mail": "x"}, `parameter "mail" is no valid email`},
			"below":           {"greet", bson.M{"name": "Jo", "where": bson.M{}}, `parameter "where.city" is missing`},
			"none are taken":  {"nothing", bson.M{"x": 1}, `unknown parameter "x": the action takes none`},
			"none, and empty": {"nothing", bson.M{}, ""},
		} {
			var final event.Reply
			for r, err := range bus.Call(t.Context(), event.New("example", test.action, test.parameters)) {
				require.NoError(t, err)
				final = r
			}
			if test.says == "" {
				require.Equal(t, event.Done, final.Kind, "%s: %s", name, final.Error)
				continue
			}
			require.Equal(t, event.Failed, final.Kind, name)
			require.Contains(t, final.Error, test.says, name)
			require.Contains(t, final.Error, "bad parameters for example", name)
		}
	})
}

func FuzzParameters(f *testing.F) {
	seed, err := bson.Marshal(bson.M{"name": "Jo", "port": 7, "where": bson.M{"city": "Ulm"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		raw := bson.Raw(data)
		if raw.Validate() != nil {
			return
		}
		bus := event.NewBus(eventtest.NewLog(0), eventtest.NewLog(0), event.Config{})
		g := greet.Do(func(_ context.Context, g greeting) (string, error) {
			if g.Name == "" || g.Port < 1 || g.Port > 65535 || g.City == "" {
				t.Errorf("%+v", g)
			}
			return "", nil
		})
		_, _ = bus.Subscribe(subscriberOf{g})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- bus.Run(ctx) }()
		<-bus.Listening()
		_, _ = bus.Publish(ctx, event.New("example", "greet", raw)) // may be too large
		stop()
		<-done
	})
}

type subscriberOf struct{ event.Action }

func (subscriberOf) Name() string              { return "example" }
func (s subscriberOf) Actions() []event.Action { return []event.Action{s.Action} }

func TestTable(t *testing.T) {
	bus := event.NewBus(eventtest.NewLog(0), eventtest.NewLog(0), event.Config{})
	_, err := bus.Subscribe(greeter{})
	require.NoError(t, err)
	table := bus.Table()
	require.Len(t, table, 2)
	require.Equal(t, event.ActionInfo{
		Subscriber: "example", Action: "greet", Doc: "greet somebody",
		Parameters: []event.ParameterInfo{
			{Name: "name", Type: "text", Required: true, Rules: "required"},
			{Name: "port", Type: "integer", Default: "80", Rules: "min=1,max=65535"},
			{Name: "level", Type: "text", Rules: "omitempty,oneof=low high"},
			{Name: "mail", Type: "text", Rules: "omitempty,email"},
			{Name: "where", Type: "document"},
			{Name: "city", Type: "text", Default: "Ulm", Required: true, Rules: "required"},
		},
	}, table[0])
	require.Empty(t, table[1].Parameters)
	require.False(t, table[1].Free)

	type odd struct {
		Wait  time.Duration     `bson:"wait" doc:"how long"`
		Key   string            `bson:"key" fleetcast:"secret"`
		IDs   []bson.ObjectID   `bson:"ids"`
		Any   any               `bson:"any"`
		Map   map[string]string `bson:"map"`
		Data  []byte            `bson:"data"`
		When  time.Time
		Ratio float32 `bson:"-"`
	}
	_, err = bus.Subscribe(named{"odd", event.On("do", func(context.Context, odd) error { return nil })})
	require.NoError(t, err)
	_, err = bus.Subscribe(named{"free", event.On("do", func(context.Context, bson.M) error { return nil })})
	require.NoError(t, err)
	table = bus.Table()
	require.Equal(t, []string{"example", "example", "free", "odd"}, []string{table[0].Subscriber, table[1].Subscriber, table[2].Subscriber, table[3].Subscriber})
	require.True(t, table[2].Free)
	require.Equal(t, []event.ParameterInfo{
		{Name: "wait", Type: "duration", Doc: "how long"}, {Name: "key", Type: "text", Secret: true}, {Name: "ids", Type: "list of id"},
		{Name: "any", Type: "any"}, {Name: "map", Type: "document"}, {Name: "data", Type: "binary"}, {Name: "when", Type: "time"},
	}, table[3].Parameters)
}

type named struct {
	name   string
	action event.Action
}

func (n named) Name() string            { return n.name }
func (n named) Actions() []event.Action { return []event.Action{n.action} }
