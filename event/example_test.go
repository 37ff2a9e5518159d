package event_test

import (
	"context"
	"fmt"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
)

// Greeting is shared by the publisher and the subscriber.
type Greeting struct {
	Name string `bson:"name"`
	Port int    `bson:"port"`
}

// SetDefaults makes Port 80 when the publisher does not say.
func (g *Greeting) SetDefaults() { g.Port = 80 }

// Greeter is a subscriber of one's own.
type Greeter struct{ greeted chan string }

func (g *Greeter) Name() string { return "greeter" }

func (g *Greeter) Actions() []event.Action {
	return []event.Action{event.On("greet", g.greet, event.Doc("say hello"))}
}

func (g *Greeter) greet(_ context.Context, p Greeting) error {
	g.greeted <- fmt.Sprintf("hello %s, port %d", p.Name, p.Port)
	return nil
}

// A subscriber of one's own with a typed action. With a MongoDB, the bus comes
// from event.Open(ctx, client.Database("app"), event.Config{}).
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	bus := event.NewBus(eventtest.NewLog(0), eventtest.NewLog(0), event.Config{})

	greeter := &Greeter{greeted: make(chan string)}
	if _, err := bus.Subscribe(greeter); err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error)
	go func() { done <- bus.Run(ctx) }()
	<-bus.Listening()

	if _, err := bus.Publish(ctx, event.New("greeter", "greet", Greeting{Name: "Jack", Port: 123})); err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-greeter.greeted)

	_, err := bus.Publish(ctx, event.New("greeter", "great", nil))
	fmt.Println(err)

	stop()
	fmt.Println(<-done)
	// Output:
	// hello Jack, port 123
	// unknown action of subscriber "greeter": "great"; did you mean "greet"? (known: greet)
	// <nil>
}

// What becomes of each event in this process, for another part of the program.
func ExampleBus_Topics() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	bus := event.NewBus(eventtest.NewLog(0), eventtest.NewLog(0), event.Config{})
	if _, err := bus.Subscribe(&Greeter{greeted: make(chan string, 1)}); err != nil {
		fmt.Println(err)
		return
	}
	events, unsubscribe := bus.Topics().Events.Subscribe()
	defer unsubscribe()
	done := make(chan error)
	go func() { done <- bus.Run(ctx) }()
	<-bus.Listening()

	if _, err := bus.Publish(ctx, event.New("greeter", "greet", Greeting{Name: "Jack"})); err != nil {
		fmt.Println(err)
	}
	for m := range events { // until Run has returned, and all has been read
		n := m.Payload
		fmt.Println(n.Event.Name, n.Event.Action, "was", n.Stage)
		if n.Stage == event.Handled {
			stop()
		}
	}
	fmt.Println(<-done)
	// Output:
	// greeter greet was received
	// greeter greet was dispatched
	// greeter greet was handled
	// <nil>
}
