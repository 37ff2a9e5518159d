package cli

import (
	"strings"

	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/stacks"
)

func (a *app) printDumps(dumps []output.Dumped) {
	for _, block := range output.Blocks(dumps, a.rawDumps) {
		a.printBlock(block)
	}
}

// printBlock groups what is Go's, and leaves all else as it is.
func (a *app) printBlock(block []output.Dumped) {
	a.printf("=== %s\n", output.Title(block))
	d := block[0]
	if len(block) == 1 {
		a.printStack(d.Worker.Stack)
	} else {
		_ = stacks.Write(a.Stdout, stacks.Grouped(output.GoroutinesOf(block)))
	}
	a.printf("%s\n", output.CutNote(d.Worker.Cut))
	if d.Places != "" {
		a.printf("Where all goroutines of %s are:\n\n%s\n", d.Server, d.Places)
	}
}

// printStack groups what is Go's, and leaves all else as it is.
func (a *app) printStack(text string) {
	goroutines, rest := stacks.Parse(text)
	if a.rawDumps || len(goroutines) == 0 {
		a.printf("%s\n", strings.TrimRight(text, "\n"))
		return
	}
	if strings.TrimSpace(rest) != "" {
		a.printf("%s\n\n", strings.TrimRight(rest, "\n"))
	}
	_ = stacks.Write(a.Stdout, stacks.Grouped(goroutines))
}
