package procgroup

import (
	"context"
	"io"
	"time"
)

// Command is what Run runs.
type Command struct {
	Words []string // the program and its arguments; looked up in PATH without a slash
	Dir   string   // where; empty for where this process is
	Base  []string // its environment; nil for this process's
	Env   []string // additions to that
	Stdin io.Reader

	Wait      time.Duration // how long it may print nothing, 0 = for ever
	Limit     time.Duration // how long it may take in all, 0 = for ever
	MaxOutput int64         // bytes that go to Output; the rest is counted
	// Output takes what the command prints, as it comes: stdout or stderr, never cut
	// within a character of UTF-8. The data is valid only during the call. Two
	// streams may come at once. While it waits, the command is not silent. An error
	// drops the data; so must the end of ctx, some time after that of the command.
	Output func(ctx context.Context, stream string, data []byte) error
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
