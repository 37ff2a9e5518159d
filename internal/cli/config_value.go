package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
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
	return scalar(v.text)
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

// scalar reads an undeclared value as YAML would: numbers, true and false as such,
// "10" in quotes as text. What would not be written the same again stays text, so that
// 007 and 1.10 lose nothing.
func scalar(text string) any {
	var node yaml.Node
	if yaml.Unmarshal([]byte(text), &node) != nil || len(node.Content) != 1 || node.Content[0].Kind != yaml.ScalarNode {
		return text
	}
	one := node.Content[0]
	quoted := one.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0
	switch {
	case quoted && one.HeadComment+one.LineComment+one.FootComment == "":
		return one.Value
	case text == "true" || text == "false":
		return text == "true"
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(i, 10) == text {
		return i
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && strconv.FormatFloat(f, 'f', -1, 64) == text && strings.Contains(text, ".") {
		return f
	}
	return text
}
