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
// Run never touches signals or exits the process.
package server
