package logging_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/event/eventtest"
	"github.com/fleetcast/fleetcast/logging"
	"github.com/fleetcast/fleetcast/subscribers"
)

// A web application that logs with log/slog has the subscriber logger alone. With a
// bare bus it hears what is for everybody; server.Open without a source also makes it
// known, so that it can be meant by name and is expected to answer.
func Example_webApplication() {
	levels, _ := logging.New("info")
	var level slog.LevelVar
	levels.Bind("http", &level)
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: &level, ReplaceAttr: withoutTime}))

	events, replies := eventtest.NewLog(0), eventtest.NewLog(0) // in earnest: event.Open on a database
	bus := event.NewBus(events, replies, event.Config{})
	if _, err := bus.Subscribe(&subscribers.Logger{Control: levels}); err != nil {
		fmt.Println(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- bus.Run(ctx) }()
	<-bus.Listening()

	log.Debug("not shown")
	// What `fleetcast log-level debug --component http --for 10m` publishes.
	_, err := bus.Publish(ctx, event.New("logger", "set", bson.M{"level": "debug", "component": "http", "for": "10m"}))
	for err == nil && level.Level() != slog.LevelDebug {
		time.Sleep(time.Millisecond)
	}
	log.Debug("shown")
	stop()
	fmt.Println(<-done)
	// Output:
	// level=DEBUG msg=shown
	// <nil>
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
