// Package server makes a process a server of the fleet: it ties the bus, the
// pool of workers, the built-in subscribers and the registry together.
//
//	            ┌────────────── stop, kill, or Run's ctx ends ─────────────┐
//	            │              │               │                           ▼
//	Open ──► starting ──► running ──► quiet ───┴──────────► stopping ──► stopped
//	                      (paused ⇄ not paused, in any of them)
//
// A server is in the registry, the collection "servers", from the moment it
// listens until it has stopped; it beats there, also while quiet and stopping.
// One that has missed four beats is lost: it may be dead, or cut off, and is back
// as soon as it beats again.
//
// # What it guarantees
//
//   - Repeating an action is harmless, and says so.
//   - An answer tells what the registry shows: it waits for that, briefly.
//   - A [Hold] is obeyed before the first work is taken.
//   - A server comes to its desired state (paused, log level) after a gap.
//   - Without the database, too, Run returns within half a minute or so after the
//     work has ended.
//
// A program whose work another job system runs has no source, and [Hooks].
//
// # Topics
//
// A server tells of its life on topics inside the process, see [Topics]: what was
// asked of it and what became of that; workers started, stopped, abandoned; work
// started, updated, finished; and, as its bus does, each event and each gap.
//
//	work, unsubscribe := srv.Topics().Work.Subscribe()
//	defer unsubscribe()
//	for m := range work { … } // until Run has returned, and all has been read
//
// Nobody who subscribes can hold up the server, and one who is too slow is told how
// many messages it has missed. The metrics of [Server.Handler] count where it is told
// and miss none. The audit is not built on topics: an act that cannot be recorded does
// not happen, so the publishing bus asks [event.Auditor] first, and waits.
//
// Run never touches signals or exits the process.
package server
