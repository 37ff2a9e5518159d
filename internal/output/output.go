// Package output is what the command line and the console have in common: the stable
// JSON of their data, and the words in which they speak of it to people.
//
// The structs with JSON tags are the output of commands and of the console's API:
// fields may be added, none is renamed. Times are RFC 3339, durations are milliseconds
// and end in _ms.
package output
