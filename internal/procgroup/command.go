package procgroup

import (
	"io"
	"time"
)

// Command is what Run runs.
type Command struct {
	Words []string // the program and its arguments; looked up in PATH without a slash
	Dir   string   // where; empty for where this process is
	Env   []string // additions to this process's environment
	Stdin io.Reader

	Wait      time.Duration // how long it may print nothing, 0 = for ever
	Limit     time.Duration // how long it may take in all, 0 = for ever
	MaxOutput int64         // bytes that go to Output; the rest is counted
	// Output takes what the command prints, as it comes; the data is valid only
	// during the call. Two streams may come at once. An error drops it.
	Output func(stream string, data []byte) error
}

// Result is how a command ended.
type Result struct {
	ExitCode int    // or 128 and the signal that has ended it
	Signal   string // that has ended it
	Killed   string // why it was ended from here, if it was
	Printed  int64  // bytes
	Dropped  int64  // of these
	Took     time.Duration
}
