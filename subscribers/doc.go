// Package subscribers holds the subscribers that every fleet has: [Server],
// [Worker], [Logger] and [Config].
//
// Each is a thin table of actions over a narrow interface which it declares
// itself and which package server, or a program of the user's, implements. They
// keep no state and are safe for concurrent use if what they act on is.
package subscribers
