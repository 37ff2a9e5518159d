// Package faultproxy is a TCP proxy in front of a MongoDB that goes wrong on
// demand: for tests alone.
//
// It cuts connections, refuses new ones, delays messages, lets connections go
// half-open, answers commands with errors in the place of the server, and loses
// the answers to commands that the server has carried out. It listens on the
// loopback interface; nothing it does depends on chance, so that a test which
// draws its faults from a seeded source can be repeated.
//
//	client ──► link ──► server      one link, of two goroutines, for each
//	       ◄──      ◄──             connection; Close joins them all
//
// It knows the wire protocol as far as it must: the length of every message, the
// name of the command in an OP_MSG, and which request a reply belongs to. Encrypted
// and compressed connections cannot be looked into: [Open] refuses the first and
// does not offer the second.
package faultproxy
