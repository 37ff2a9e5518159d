package cli

import (
	"os"

	"golang.org/x/term"
)

// isTerminal reports whether people are at the other end of a stream.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
