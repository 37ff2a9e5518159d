package worker_test

import (
	"context"
	"fmt"
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
	begun, never := make(chan struct{}), make(chan struct{})
	var once sync.Once
	source := worker.SourceFunc(func(context.Context, worker.Filter) (worker.Work, error) {
		unit, err := worker.Work{}, worker.ErrNoWork
		once.Do(func() {
			unit = worker.Work{ID: "42", Kind: "import", Run: func(context.Context) error {
				close(begun)
				<-never
				return nil
			}}
			err = nil
		})
		return unit, err
	})
	pool, _ := worker.New(source, worker.Config{Workers: 1})
	ended := make(chan error)
	go func() { ended <- pool.Run(context.Background()) }()
	<-begun

	status, err := pool.KillWorker(context.Background(), 1, 100*time.Millisecond)
	fmt.Println("worker", status.ID, status.State, err)
	fmt.Println("another is there:", pool.HasWorker(2))

	pool.Stop(time.Second)
	fmt.Println(<-ended)
	close(never)

	// Output:
	// worker 1 abandoned <nil>
	// another is there: true
	// abandoned, because cancelled work did not end: worker 1 import 42
}

// Work that says where it is, and a program that looks on.
func ExampleDescribe() {
	source := make(chan worker.Work, 1)
	source <- worker.Work{ID: "customers.csv", Kind: "import", Run: func(ctx context.Context) error {
		for _, rows := range []string{"1,000 of 2,000 rows", "2,000 of 2,000 rows"} {
			worker.Describe(ctx, rows)
		}
		return nil
	}}
	take := worker.SourceFunc(func(ctx context.Context, _ worker.Filter) (worker.Work, error) {
		select {
		case unit := <-source:
			return unit, nil
		case <-ctx.Done():
			return worker.Work{}, ctx.Err()
		}
	})
	finished := make(chan struct{})
	pool, err := worker.New(take, worker.Config{Workers: 1, Observe: func(n worker.Notice) {
		switch n.Moment {
		case worker.WorkUpdated:
			fmt.Println(n.Worker.WorkID, "is at", n.Worker.Description)
		case worker.WorkFinished:
			fmt.Println(n.Worker.WorkID, "ended with", n.Err)
			close(finished)
		}
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	var running sync.WaitGroup
	running.Go(func() { _ = pool.Run(context.Background()) })
	<-finished
	pool.Stop(0)
	running.Wait()
	// Output:
	// customers.csv is at 1,000 of 2,000 rows
	// customers.csv is at 2,000 of 2,000 rows
	// customers.csv ended with <nil>
}
