package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/fleetcast/fleetcast/internal/settings"
	"github.com/spf13/cobra"
)

// valueFlags are where the value of a setting comes from.
type valueFlags struct {
	app  *app
	file string

	content bool   // text is what is in a file or in standard input
	text    string // once it is read
}

func (a *app) addValueFlags(cmd *cobra.Command) *valueFlags {
	v := &valueFlags{app: a}
	cmd.Flags().StringVar(&v.file, "from-file", "", "take the value from what is in this file here, - for standard input, in place of VALUE")
	byHandAlone(cmd, "from-file")
	_ = cmd.MarkFlagFilename("from-file")
	return v
}

// read takes VALUE, or the content of a file without the line end that is its last.
func (v *valueFlags) read(args []string) error {
	switch {
	case v.file != "" && len(args) > 0:
		return usageError("VALUE and --from-file: give one of them")
	case v.file == "" && len(args) == 0:
		return usageError("there is no VALUE: give one, or --from-file FILE, or - for standard input; `config unset` removes a setting")
	case v.file == "" && args[0] != "-":
		v.text = args[0]
		return nil
	}
	text, err := v.app.readInput(cmp.Or(v.file, "-"))
	v.text, v.content = strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), true
	return err
}

// value returns what to set, once it is read. Text of the command line is parsed by the
// declared type, or as YAML has it; what is in a file is the value, whatever it begins
// with.
func (v *valueFlags) value(declared bool) any {
	switch {
	case v.content && strings.HasPrefix(v.text, "@"): // it refers to nothing
		return "@" + v.text
	case v.content || declared:
		return v.text
	}
	return settings.Scalar(v.text)
}

// maxInput bounds standard input, in bytes.
const maxInput = 16 << 20

// readInput reads a file; - is standard input.
func (a *app) readInput(name string) ([]byte, error) {
	switch {
	case name != "-":
		return os.ReadFile(name)
	case a.Stdin == nil:
		return nil, usageError("there is no standard input")
	case isTerminal(a.Stdin):
		a.say("reading standard input until Ctrl-D\n")
	}
	return readAtMost(a.Stdin, maxInput)
}

func readAtMost(in io.Reader, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("standard input is longer than %d bytes", limit)
	}
	return text, err
}
