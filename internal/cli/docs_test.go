package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
)

// documents are those in which command lines stand.
func documents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	return append(files, "../../README.md")
}

// shellLine is a line of a fenced block.
type shellLine struct {
	where string
	text  string
}

// fenced returns the lines of the blocks that are for a shell: those marked sh, and of
// unmarked ones what looks like a command of ours.
func fenced(t *testing.T, file string) (lines []shellLine) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	inside, language := false, ""
	for i, line := range strings.Split(string(text), "\n") {
		if mark, ok := strings.CutPrefix(strings.TrimSpace(line), "```"); ok {
			inside, language = !inside, mark
			continue
		}
		prompt := strings.HasPrefix(line, "$ ")
		line = strings.TrimPrefix(line, "$ ")
		if inside && (language == "sh" || language == "" && (prompt || strings.HasPrefix(line, "fleetcast "))) {
			lines = append(lines, shellLine{fmt.Sprintf("%s:%d", file, i+1), line})
		}
	}
	return lines
}

// commands splits a line of a shell at pipes, semicolons and redirections into commands
// of words. It knows quotes, comments and nothing else of a shell.
func commands(line string) (all [][]string) {
	var words []string
	var word strings.Builder
	quote, in := rune(0), false
	end := func() {
		if in {
			words = append(words, word.String())
		}
		word.Reset()
		in = false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == '#' && !in:
			return append(all, words)
		case r == ' ':
			end()
		case strings.ContainsRune("|;&<>", r):
			end()
			all, words = append(all, words), nil
		default:
			word.WriteRune(r)
			in = true
		}
	}
	end()
	return append(all, words)
}

// TestShellBlocksOfDocs: each command line of ours in a block for a shell is parsed as
// the program does it: the command is there, its flags are known and their values can
// be read, its arguments are as many as it wants.
func TestShellBlocksOfDocs(t *testing.T) {
	checked := map[string]int{}
	for _, file := range documents(t) {
		for _, line := range fenced(t, file) {
			for _, words := range commands(line.text) {
				at := slices.Index(words, "fleetcast")
				if at < 0 || at > 0 && !strings.Contains(words[at-1], "=") && words[at-1] != "sudo" {
					continue // not called, but an argument
				}
				requireParses(t, line.where, words[at+1:])
				checked[filepath.Base(file)]++
			}
		}
	}
	for file, least := range map[string]int{"operations.md": 25, "settings.md": 5, "README.md": 8} {
		require.GreaterOrEqual(t, checked[file], least, file)
	}
}

// requireParses holds a command line to the tree of commands.
func requireParses(t *testing.T, where string, words []string) {
	t.Helper()
	root := (&app{}).rootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	cmd, rest, err := root.Find(words)
	require.NoError(t, err, "%s: %v", where, words)
	require.NotEqual(t, root, cmd, "%s: there is no command in %v", where, words)
	cmd.InitDefaultHelpFlag()
	require.NoError(t, cmd.ParseFlags(rest), "%s: %v", where, words)
	require.NoError(t, cmd.ValidateArgs(cmd.Flags().Args()), "%s: %v", where, words)
	require.NoError(t, cmd.ValidateRequiredFlags(), "%s: %v", where, words)
	require.NoError(t, cmd.ValidateFlagGroups(), "%s: %v", where, words)
}

// TestRunBookHasTheWords: what a caller is told of a server that has not answered, and
// what doctor finds, is in the run book word for word, and each part of it says all that it must.
func TestRunBookHasTheWords(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	_, book, ok := strings.Cut(string(text), "\n## Run book\n")
	require.True(t, ok)
	book, _, _ = strings.Cut(book, "\n## ")
	words := strings.Join(strings.Fields(book), " ")
	for _, o := range []event.Outcome{{}, {Acked: true}, {Deaf: true}, {Gone: true}, {Gone: true, Acked: true}} {
		require.Contains(t, words, "*"+output.WhyMissing(o)+"*")
	}
	for _, ill := range illnesses {
		if !strings.HasPrefix(ill.name, "slow") {
			require.Contains(t, words, ill.name)
		}
	}
	parts := strings.Split(book, "\n### ")[1:]
	require.Len(t, parts, 6)
	for _, part := range parts {
		title, _, _ := strings.Cut(part, "\n")
		for _, must := range []string{"\n*Seen:*", "\n*Means:*", "\n*Do:*", "```sh\n", "\n*Over when*"} {
			require.Contains(t, part, must, title)
		}
	}
}

func TestCommands(t *testing.T) {
	for line, want := range map[string][][]string{
		`fleetcast servers --server 'web *' -o json | jq '.[0] | .a'`: {{"fleetcast", "servers", "--server", "web *", "-o", "json"}, {"jq", ".[0] | .a"}},
		`a "b c"d ''; e > f # g`: {{"a", "b cd", ""}, {"e"}, {"f"}},
	} {
		require.Equal(t, want, commands(line), line)
	}
}
