package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
)

// fleet is the listening processes; each prints one latency a line.
type fleet struct {
	processes []*exec.Cmd
	latencies chan time.Duration
}

func startListeners(uri, database string, bare bool) (*fleet, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f := &fleet{latencies: make(chan time.Duration, 1<<20)}
	for range listeners {
		cmd := exec.Command(self, "-listen", uri, "-database", database, fmt.Sprintf("-bare=%t", bare))
		out, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		f.processes = append(f.processes, cmd)
		lines := bufio.NewScanner(out)
		if !lines.Scan() { // "ready"
			return nil, fmt.Errorf("a listener did not start")
		}
		go func() {
			for lines.Scan() {
				n, _ := strconv.ParseInt(lines.Text(), 10, 64)
				f.latencies <- time.Duration(n)
			}
		}()
	}
	return f, nil
}

// collect waits until every listener has received n events, or nothing comes
// any more.
func (f *fleet) collect(n int) ([]time.Duration, error) {
	var got []time.Duration
	for len(got) < n*listeners {
		select {
		case l := <-f.latencies:
			got = append(got, l)
		case <-time.After(10 * time.Second):
			return got, fmt.Errorf("only %d of %d events arrived", len(got), n*listeners)
		}
	}
	return got, nil
}

func (f *fleet) end() {
	for _, p := range f.processes {
		end(p)
	}
}

// listenFor is the life of one listening process: until its parent ends it.
func listenFor(uri, database string, bare bool) error {
	ctx := context.Background()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return err
	}
	db := client.Database(database)
	out := bufio.NewWriter(os.Stdout)
	times := make(chan int64, 1<<16)
	go printTimes(out, times)
	if bare {
		return listenBare(ctx, db, times)
	}
	bus, err := event.Open(ctx, db, event.Config{Queue: 1 << 16})
	if err != nil {
		return err
	}
	if _, err := bus.Subscribe(taker(times)); err != nil {
		return err
	}
	go func() { <-bus.Listening(); fmt.Println("ready") }()
	return bus.Run(ctx)
}

// taker is the subscriber that notes when it is called.
type taker chan int64

type taken struct {
	At int64 `bson:"at"`
}

func (taker) Name() string { return "figures" }

func (t taker) Actions() []event.Action {
	return []event.Action{event.On("take", func(_ context.Context, p taken) error {
		t <- time.Now().UnixNano() - p.At
		return nil
	})}
}

// listenBare does what anybody would write by hand: a tailable cursor, decode,
// call.
func listenBare(ctx context.Context, db *mongo.Database, times chan<- int64) error {
	coll := db.Collection(event.EventsCollection)
	var last struct {
		Time bson.Timestamp `bson:"ts"`
	}
	newest := options.FindOne().SetSort(bson.D{{Key: "$natural", Value: -1}})
	if err := coll.FindOne(ctx, bson.D{}, newest).Decode(&last); err != nil {
		return err
	}
	cursor, err := coll.Find(ctx, bson.D{{Key: "ts", Value: bson.D{{Key: "$gt", Value: last.Time}}}},
		options.Find().SetCursorType(options.TailableAwait).SetMaxAwaitTime(time.Second))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for cursor.Next(ctx) {
		var doc struct {
			Parameters taken `bson:"parameters"`
		}
		if err := cursor.Decode(&doc); err != nil {
			return err
		}
		times <- time.Now().UnixNano() - doc.Parameters.At
	}
	return cursor.Err()
}

func printTimes(out *bufio.Writer, times <-chan int64) {
	for n := range times {
		_, _ = fmt.Fprintln(out, n)
		if len(times) == 0 && out.Flush() != nil {
			return // the parent has gone
		}
	}
}
