// Command wrongtypes does not compile: it is what the compiler keeps publishers and
// subscribers of a defined action from. Each wrong line says so.
package main

import (
	"context"

	"github.com/fleetcast/fleetcast/event"
)

type visit struct{ Name string }

var greet = event.Define[visit, string]("example", "greet")

func main() {
	_ = greet.New(visit{"Jack"})
	_ = greet.New("Jack")                                                                      // WRONG
	_ = greet.New(visit{7})                                                                    // WRONG
	_ = greet.Do(func(context.Context, visit) (string, error) { return "", nil })              //
	_ = greet.Do(func(context.Context, string) (string, error) { return "", nil })             // WRONG
	_ = greet.Do(func(context.Context, visit) (int, error) { return 0, nil })                  // WRONG
	_ = greet.Do(func(context.Context, visit) error { return nil })                            // WRONG
	_ = event.On("greet", func(context.Context, visit) error { return nil })                   //
	_ = event.On("greet", func(visit) error { return nil })                                    // WRONG
	_ = event.OnResult("greet", func(_ context.Context, v visit) (string, error) { return 7 }) // WRONG
	var text string
	text, _ = greet.Result(event.Reply{})
	var number int
	number, _ = greet.Result(event.Reply{}) // WRONG
	_, _ = text, number
	topic := event.NewTopic[int]("n")
	topic.Post(1)
	topic.Post("one") // WRONG
}
