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
// One whose beat is older than [LostAfter] is lost: it may be dead, or cut off,
// and is back as soon as it beats again.
//
// Run never touches signals or exits the process.
package server
