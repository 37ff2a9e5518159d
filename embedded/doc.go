// Package embedded is a database for development and tests that runs inside
// the process: what fleetcast needs of MongoDB, with no server to install.
//
// It behaves as MongoDB documents it, or refuses with an error that says so;
// package embedded/storetest holds it to that, with the same tests that a real
// server passes. It is no database for production: one process, no replication,
// no access control (hence loopback addresses only), every query scans.
//
// Ordinary collections are kept by FerretDB on SQLite, with every write passing
// through one lock, since FerretDB's updates are not atomic, and with TTL
// indexes and timestamps added. Capped collections are kept by an engine of this
// package, which knows what an event log lives on: rollover, timestamps that
// rise, and tailable cursors that wake when a document comes in.
//
//	          ┌ session per client ┐
//	driver ──►│ wire ─► dispatch   │──► capped collections ──► files (or memory)
//	          │             │      │
//	          └─────────────┼──────┘
//	                        └─ write lock ──► FerretDB ──► SQLite
//
// A Store listens from Open on, and lives as long as its Run:
//
//	st, err := embedded.Open(ctx, embedded.Config{Dir: "data"})
//	go st.Run(ctx)
//	client, err := mongo.Connect(options.Client().ApplyURI(st.URI()))
package embedded
