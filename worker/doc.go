// Package worker runs a pool of workers that take units of work from a
// [Source], and lets an operator pause, stop, kill and look into them.
//
//	pool, err := worker.New(source, worker.Config{Workers: 4})
//	err = pool.Run(ctx) // blocks; pool.Stop, pool.Kill or the end of ctx end it
//
// # What it guarantees
//
//   - Never more than Config.Workers workers are live, or what [Pool.Resize] says;
//     the surplus of a pool that shrinks finishes its work. A worker that is
//     stopped or killed is replaced; its number is never used again.
//   - Nothing taken is lost: whatever a Source hands out is run and reported
//     exactly once, also when the pool was paused, stopped or killed meanwhile.
//     Killed work is run or goes on with a cancelled context.
//   - A unit of work that panics or calls [runtime.Goexit] fails; its worker
//     goes on. A Source that fails or panics is asked again, later and later.
//   - A paused worker is not inside [Source.Take].
//   - A goroutine cannot be killed in Go. What ignores its cancelled context is
//     abandoned: the worker gives up its place, and stays visible with its stack
//     until its goroutine returns.
//
// # Life of a worker
//
//	                    ┌── unit ends ──┐
//	                    ▼               │
//	starting ───────► idle ─── unit ──► busy
//	    │              │ ▲               │
//	    └──► paused ◄──┘ │               │
//	           └─ resume ┘               │
//	                                     │
//	any of these ── stop or kill ──► stopping ─────────────► stopped (gone)
//	                                     │                      ▲
//	                                     └─ ignores the kill ─► abandoned
//
// A busy worker whose pool is paused stays busy until its unit ends, unless the
// unit has Hooks.Pause: then it shows as paused. An abandoned worker never takes
// again; it goes when its goroutine returns. A worker that a pool without need of
// it tells to leave is stopping as well.
//
// # Work that does not end by itself
//
// A unit may be a subscription, or a program in another language: it has [Hooks],
// by which the pool tells it to hold still, to go on and to finish. Package
// process makes such units of any command.
//
// # Life of a pool
//
//	New ──► Run: working ⇄ paused ──► quiet ──► stopping ──► Run returns
//
// Pausing is reversible, quiet is not, and the two are independent: a quiet pool
// takes no more work whether paused or not, but waits to be stopped.
//
// # Whose goroutine is it
//
// Each worker runs under profiler labels ([LabelPool], [LabelWorker] and
// Config.ProfileLabels), which every goroutine that its work starts inherits.
// [Pool.Stacks] finds them by these labels. A goroutine that a library started
// on behalf of the first unit that needed it, such as a connection's reader,
// therefore counts to that worker for as long as it lives.
//
// # What a pool tells of itself
//
// [Pool.Workers] is how things are now. Config.Observe is told of each moment: worker
// started, stopped, abandoned; work started, updated, finished. Running work says
// where it is by [Describe], which operators see at once.
//
// # Logging
//
// Logs go to the zerolog logger of the context given to Run; without one the
// package is silent. The context of a unit of work carries the same logger with
// the worker's number and the unit's kind and id.
package worker
