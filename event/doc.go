// Package event carries events to every process of a fleet that shares a
// MongoDB, and the answers back.
//
// An [Event] is one document in a capped collection. Each process tails that
// collection through one [Bus], decides whether it is meant ([Target]) and
// hands the event to its registered [Subscriber] structs.
//
// # What it guarantees
//
//   - While a Bus runs, each event appended behind its start position reaches
//     each matching subscriber exactly once, in the order of the collection,
//     through reconnects and dead cursors. No client's clock matters, and
//     neither does the order of ids.
//   - An event published before the Bus listened is never acted on: the start
//     position is a mark in the collection itself.
//   - If the collection rolled over while the listener was away, that is a
//     [Gap]: subscribers that implement [GapHandler] are told, it is counted in
//     [Health] and logged.
//   - A listener reconnects for ever, with backoff and jitter, after any error.
//   - A subscriber that panics, fails, or is slow affects that one delivery
//     only. Each has its own bounded queue and goroutine.
//   - A malformed document is counted, logged once per kind, and skipped.
//
// # Life
//
//	Open ──► Subscribe … ──► Run ───────────────► returns nil when its ctx ends
//	                          │ connecting ⇄ behind ⇄ listening
//	                          └ Listening() is closed once a start position is held
//
// Publish and Call work with and without Run.
//
// # What a bus tells of itself
//
// Each event's way through the process, and each gap, is told on topics inside the
// process ([Bus.Topics]), to whoever subscribes: another part of the program, a
// console, a test. A subscriber that is slow or does not read holds up nothing; it
// loses the oldest messages and is told how many. When nobody subscribes it costs
// nothing. [Config.Observe] misses none: metrics count by it.
//
// The audit is no subscriber. It is asked before an act is published, and an act that
// it cannot record does not happen; see [Auditor].
//
// # Logging
//
// Logs go to the zerolog logger of the context given to Run; without one the
// package is silent.
package event
