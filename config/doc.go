// Package config holds settings that are changed once, and followed by every process
// of a fleet while it runs.
//
//	defaults in code < YAML file < collection "settings" < environment < flags
//	                               (global < environment < label < server)
//
// A setting has a path, such as app/smtp/host, and is declared where it is used:
//
//	var smtpHost = config.New("app/smtp/host", "localhost:25", config.Rules("hostname_port"))
//
//	host := smtpHost.Get(settings) // some nanoseconds, no allocations
//
// [Open] loads the settings, [Settings.Refresh] loads them anew, which the event
// "config refresh" does in every process, and [Settings.OnChange] tells what that has
// changed. [Store] is for those who change settings.
//
// # What it guarantees
//
//   - A wrong value in any layer, also one that a higher layer hides, refuses all that
//     was to be loaded: the old settings stay, and the error has every fault, with
//     path, origin, value and what is expected.
//   - Settings change together: a [Snapshot] never has some old and some new values.
//   - While the database is away the old settings stay.
//   - Secret values are in no error, log, list or record, and are encrypted in the
//     collection; an encrypted one is of no use under another path or scope.
//   - A change to the collection and its record are one write.
package config
