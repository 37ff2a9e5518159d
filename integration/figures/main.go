// Command figures measures the built binary and prints what it found: start-up,
// memory and idle load of `fleetcast dev`; the time from Publish to the handler
// in other processes, beside the bare driver doing the same by hand; and whether
// a burst loses anything. It starts the processes that it needs, on loopback, and
// ends them. FLEETCAST_TEST_URI names a MongoDB to use for the events in place of
// the embedded store.
//
//	make figures
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/fleetcast/fleetcast/event"
)

const (
	listeners  = 4
	warmEvents = 100_000
	slowRate   = 10 // events a second
	slowFor    = 30 * time.Second
	fastRate   = 5_000
	fastFor    = 10 * time.Second
	idleFor    = 20 * time.Second
)

func main() {
	binary := flag.String("binary", ".bin/fleetcast", "the built command")
	listen := flag.String("listen", "", "be a listener on this URI (used by the program itself)")
	database := flag.String("database", "", "the listener's database (used by the program itself)")
	bare := flag.Bool("bare", false, "listen with the bare driver (used by the program itself)")
	flag.Parse()
	var err error
	if *listen != "" {
		err = listenFor(*listen, *database, *bare)
	} else {
		err = measure(*binary)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func measure(binary string) error {
	fmt.Printf("%s, %s/%s, %d CPUs\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if err := measureDev(binary); err != nil {
		return fmt.Errorf("dev: %w", err)
	}
	uri := os.Getenv("FLEETCAST_TEST_URI")
	if uri == "" {
		store, line, err := startUntil(exec.Command(binary, "store", "--store-addr", "127.0.0.1:0"), "mongodb://")
		if err != nil {
			return err
		}
		defer end(store)
		uri = strings.TrimSuffix(line, "/fleetcast")
	}
	for _, bare := range []bool{true, false} {
		if err := measureEvents(uri, bare); err != nil {
			return err
		}
	}
	return nil
}

func measureDev(binary string) error {
	start := time.Now()
	dev, _, err := startUntil(exec.Command(binary, "dev", "--store-addr", "127.0.0.1:0", "--log-level", "warn"), "fleetcast is up")
	if err != nil {
		return err
	}
	up := time.Since(start)
	defer end(dev)
	before := cpuTime(dev.Process.Pid)
	time.Sleep(idleFor)
	used := cpuTime(dev.Process.Pid) - before
	fmt.Printf("dev up (store, 3 servers x 4 workers, all in the registry)  %8.2f s\n", up.Seconds())
	fmt.Printf("dev resident memory                                         %8.0f MiB\n", float64(residentBytes(dev.Process.Pid))/(1<<20))
	fmt.Printf("dev idle load, of one core over %s                         %8.1f %%\n\n", idleFor, 100*used.Seconds()/idleFor.Seconds())
	return nil
}

// startUntil starts a command and waits for a line of its output.
func startUntil(cmd *exec.Cmd, text string) (*exec.Cmd, string, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if line := lines.Text(); strings.Contains(line, text) {
			go func() { // the rest is of no interest, but must be read
				for lines.Scan() {
				}
			}()
			return cmd, line, nil
		}
	}
	end(cmd)
	return nil, "", fmt.Errorf("%v ended without saying %q", cmd.Args, text)
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
}

// cpuTime is the user and system time of a process, from /proc.
func cpuTime(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // the kernel counts in hundredths
}

func residentBytes(pid int) int {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(statm))[1])
	return pages * os.Getpagesize()
}

// measureEvents publishes to listeners in processes of their own.
func measureEvents(uri string, bare bool) error {
	ctx := context.Background()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return err
	}
	defer func() { _ = client.Disconnect(ctx) }()
	db := client.Database("figures_" + bson.NewObjectID().Hex())
	defer func() { _ = db.Drop(ctx) }()
	p, err := newPublisher(ctx, db, bare)
	if err != nil {
		return err
	}
	if err := p.batches(ctx, warmEvents); err != nil {
		return fmt.Errorf("fill the collection: %w", err)
	}
	fleet, err := startListeners(uri, db.Name(), bare)
	if err != nil {
		return err
	}
	defer fleet.end()

	if err := p.steadily(ctx, slowRate, slowFor); err != nil {
		return err
	}
	slow, err := fleet.collect(int(slowRate * slowFor.Seconds()))
	if err != nil {
		return err
	}
	start := time.Now()
	if err := p.steadily(ctx, fastRate, fastFor); err != nil {
		return err
	}
	took := time.Since(start)
	n := int(fastRate * fastFor.Seconds())
	fast, err := fleet.collect(n)
	if err != nil {
		return err
	}
	how := "fleetcast"
	if bare {
		how = "bare driver"
	}
	fmt.Printf("%s: publish to handler, %d listening processes, %d events before\n", how, listeners, warmEvents)
	fmt.Printf("  %6d events/s          p50 %s  p99 %s  max %s\n", slowRate, at(slow, 50), at(slow, 99), at(slow, 100))
	fmt.Printf("  %6.0f events/s reached  p50 %s  p99 %s  max %s  received %d of %d\n\n",
		float64(n)/took.Seconds(), at(fast, 50), at(fast, 99), at(fast, 100), len(fast), n*listeners)
	return nil
}

func at(latencies []time.Duration, percent int) string {
	if len(latencies) == 0 {
		return "-"
	}
	slices.Sort(latencies)
	i := min(len(latencies)*percent/100, len(latencies)-1)
	return fmt.Sprintf("%7.2f ms", float64(latencies[i].Microseconds())/1000)
}

// publisher publishes by the bus, or by the bare driver.
type publisher struct {
	bus  *event.Bus
	coll *mongo.Collection
}

func newPublisher(ctx context.Context, db *mongo.Database, bare bool) (*publisher, error) {
	bus, err := event.Open(ctx, db, event.Config{}) // creates the collection
	if err != nil {
		return nil, err
	}
	if bare {
		bus = nil
	}
	return &publisher{bus: bus, coll: db.Collection(event.EventsCollection)}, nil
}

func (p *publisher) one(ctx context.Context) error {
	parameters := bson.D{{Key: "at", Value: time.Now().UnixNano()}, {Key: "pad", Value: strings.Repeat("x", 100)}}
	if p.bus != nil {
		_, err := p.bus.Publish(ctx, event.New("figures", "take", parameters))
		return err
	}
	_, err := p.coll.InsertOne(ctx, bson.D{
		{Key: "_id", Value: bson.NewObjectID()}, {Key: "ts", Value: bson.Timestamp{}}, {Key: "name", Value: "figures"},
		{Key: "action", Value: "take"}, {Key: "parameters", Value: parameters},
	})
	return err
}

func (p *publisher) batches(ctx context.Context, n int) error {
	for range n / 1000 {
		docs := make([]any, 1000)
		for i := range docs {
			docs[i] = bson.D{
				{Key: "_id", Value: bson.NewObjectID()}, {Key: "ts", Value: bson.Timestamp{}},
				{Key: "name", Value: "earlier"}, {Key: "action", Value: "take"},
				{Key: "parameters", Value: bson.D{{Key: "pad", Value: strings.Repeat("x", 100)}}},
			}
		}
		if _, err := p.coll.InsertMany(ctx, docs); err != nil {
			return err
		}
	}
	return nil
}

// steadily publishes at a rate, by as many goroutines as that takes.
func (p *publisher) steadily(ctx context.Context, rate int, duration time.Duration) error {
	n := int(float64(rate) * duration.Seconds())
	turns, faults := make(chan struct{}, n), make(chan error, 32)
	for range cap(faults) {
		go func() {
			for range turns {
				if err := p.one(ctx); err != nil {
					faults <- err
					return
				}
			}
			faults <- nil
		}()
	}
	start := time.Now()
	for i := range n {
		time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(rate))))
		turns <- struct{}{}
	}
	close(turns)
	for range cap(faults) {
		if err := <-faults; err != nil {
			return err
		}
	}
	return nil
}
