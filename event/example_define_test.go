package event_test

import (
	"context"
	"fmt"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
)

// Visit is what greet takes; it has a default, and rules.
type Visit struct {
	Name string `bson:"name" validate:"required" doc:"whom to greet"`
	Port int    `bson:"port" validate:"min=1,max=65535" doc:"where"`
}

// SetDefaults is called before a Visit is decoded.
func (v *Visit) SetDefaults() { v.Port = 80 }

// Greet is shared by those who publish and those who subscribe: the compiler checks
// both.
var Greet = event.Define[Visit, string]("example", "greet", event.Doc("greet somebody"))

// Host is a subscriber: a struct with what it needs, and a table of actions.
type Host struct{ House string }

func (h *Host) Name() string            { return "example" }
func (h *Host) Actions() []event.Action { return []event.Action{Greet.Do(h.greet)} }

func (h *Host) greet(_ context.Context, v Visit) (string, error) { // the result travels back
	return fmt.Sprintf("welcome to %s, %s, at port %d", h.House, v.Name, v.Port), nil
}

// household is the registry of this example; programs have server.NewRegistry(db).
type household struct{ server *event.Bus }

func (h household) Members(context.Context) ([]event.Member, error) {
	return []event.Member{{ServerID: h.server.Identity().ServerID, Name: "house-1", Actions: h.server.Actions()}}, nil
}

// An action that is defined once, called, and described.
func ExampleDefine() {
	ctx, stop := context.WithCancel(context.Background())
	events, replies := eventtest.NewLog(0), eventtest.NewLog(0)
	server := event.NewBus(events, replies, event.Config{Identity: event.Identity{Name: "house-1"}})
	_, err := server.Subscribe(&Host{House: "the fleet"})
	if err != nil {
		fmt.Println(err)
	}
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	<-server.Listening()

	// Anywhere else: publish, or call and see the answers.
	bus := event.NewBus(events, replies, event.Config{Directory: household{server}})
	var sum event.Summary
	for reply, err := range bus.Call(ctx, Greet.New(Visit{Name: "Jack", Port: 8080}), event.Summarize(&sum)) {
		if err == nil && reply.Kind == event.Done {
			greeting, _ := Greet.Result(reply)
			fmt.Println(reply.Server, "says:", greeting)
		}
	}
	fmt.Println(sum.Matched, "matched,", sum.Done, "done")

	// Without the compiler's help, such as from the command line.
	for _, parameters := range []any{map[string]any{"name": "Jo"}, map[string]any{"nam": "Jo"}, map[string]any{"name": "Jo", "port": true}, nil} {
		for reply := range bus.Call(ctx, event.New("example", "greet", parameters)) {
			if reply.Kind.Final() {
				var greeting string
				_ = reply.Result(&greeting)
				fmt.Println(reply.Kind, greeting+reply.Error)
			}
		}
	}
	for _, p := range server.Table()[0].Parameters {
		fmt.Printf("%s (%s): %s, default %q, required %t\n", p.Name, p.Type, p.Doc, p.Default, p.Required)
	}
	stop()
	fmt.Println(<-done)
	// Output:
	// house-1 says: welcome to the fleet, Jack, at port 8080
	// 1 matched, 1 done
	// done welcome to the fleet, Jo, at port 80
	// failed bad parameters for example greet: unknown parameter "nam"; did you mean "name"? (known: name, port)
	// failed bad parameters for example greet: parameter "port" is a BSON boolean: it must be of type integer
	// failed bad parameters for example greet: parameter "name" is missing
	// name (text): whom to greet, default "", required true
	// port (integer): where, default "80", required false
	// <nil>
}
