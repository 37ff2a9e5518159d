package worker_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/fleetcast/fleetcast/worker"
)

// A channel of file names is the job system of this example.
func Example() {
	files := make(chan string)
	source := worker.SourceFunc(func(ctx context.Context, _ worker.Filter) (worker.Work, error) {
		select {
		case name := <-files:
			return worker.Work{
				ID:   name,
				Kind: "import",
				Run: func(ctx context.Context) error {
					fmt.Println("importing", name)
					return ctx.Err()
				},
				Report: func(err error) { fmt.Println(name, "ended with", err) },
			}, nil
		case <-ctx.Done():
			return worker.Work{}, ctx.Err()
		}
	})

	pool, err := worker.New(source, worker.Config{Workers: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	var running sync.WaitGroup
	running.Go(func() { fmt.Println("Run returned", pool.Run(context.Background())) })

	files <- "customers.csv"
	files <- "orders.csv"
	pool.Stop(10 * time.Second)
	running.Wait()

	// Output:
	// importing customers.csv
	// customers.csv ended with <nil>
	// importing orders.csv
	// orders.csv ended with <nil>
	// Run returned <nil>
}

func ExampleFilter() {
	filter := worker.Filter{Include: []string{"import*", "report"}}
	for _, kind := range []string{"import", "import_csv", "report", "export"} {
		fmt.Println(kind, filter.Match(kind))
	}
	fmt.Println(worker.Filter{Include: []string{"a"}, Exclude: []string{"b"}}.Validate())

	// Output:
	// import true
	// import_csv true
	// report true
	// export false
	// filter: give either include or exclude patterns, not both
}

// Work that ignores its context cannot be ended. Its worker is abandoned, and
// another takes its place.
func ExamplePool_KillWorker() {
	never := make(chan struct{})
	var number int
	var mu sync.Mutex
	source := worker.SourceFunc(func(context.Context, worker.Filter) (worker.Work, error) {
		mu.Lock()
		defer mu.Unlock()
		number++
		return worker.Work{
			ID:  strconv.Itoa(number),
			Run: func(context.Context) error { <-never; return nil },
		}, nil
	})
	pool, _ := worker.New(source, worker.Config{Workers: 1})
	ended := make(chan error)
	go func() { ended <- pool.Run(context.Background()) }()
	for !pool.HasWorker(1) {
		time.Sleep(time.Millisecond)
	}

	status, err := pool.KillWorker(context.Background(), 1, 100*time.Millisecond)
	fmt.Println(status.ID, status.State, err)
	fmt.Println(pool.HasWorker(1), pool.HasWorker(2))

	pool.Kill(100 * time.Millisecond)
	fmt.Println(<-ended)
	close(never)

	// Output:
	// 1 abandoned <nil>
	// true true
	// abandoned, because cancelled work did not end: worker 1 1, worker 2 2
}
