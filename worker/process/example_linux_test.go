package process_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/fleetcast/fleetcast/worker"
	"github.com/fleetcast/fleetcast/worker/process"
)

// Two copies of a shell script are supervised until the pool is stopped.
func Example() {
	source, err := process.Source(process.Config{
		Command:    []string{"sh", "-c", `echo "worker $FLEETCAST_WORKER_ID begins" >>"$OUT"; exec sleep 1000`},
		Env:        []string{"OUT=/dev/null"},
		DumpSignal: syscall.SIGUSR1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	pool, err := worker.New(source, worker.Config{Workers: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := zerolog.New(os.Stderr).Level(zerolog.ErrorLevel).WithContext(context.Background()) // it gets what they print
	time.AfterFunc(200*time.Millisecond, func() { pool.Stop(10 * time.Second) })
	fmt.Println("Run returned", pool.Run(ctx))

	// Output:
	// Run returned <nil>
}
