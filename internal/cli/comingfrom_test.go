package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// row is one line of the tables of docs/coming-from.md.
type row struct {
	section string
	line    int
	cells   []string
}

// tables reads the tables of a document.
func tables(t *testing.T, file string) (rows []row) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	section, header := "", true
	for i, line := range strings.Split(string(text), "\n") {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = title
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			header = true
		case header: // its titles; the line below them has no cell but dashes
			header = false
		case !strings.HasPrefix(line, "|--"):
			rows = append(rows, row{section, i + 1, cells(line)})
		}
	}
	return rows
}

func cells(line string) (list []string) {
	line = strings.ReplaceAll(line, `\|`, "\x00")
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		list = append(list, strings.TrimSpace(strings.ReplaceAll(cell, "\x00", "|")))
	}
	return list
}

// testName is how a row names a test: the folder, its function, and a subtest.
var testName = regexp.MustCompile("`([a-z/]+)\\.((?:Test|Example|Benchmark|Fuzz)\\w*)(?:/([^`]+))?`")

// TestComingFromNamesTests: each row names tests, and all of them are there.
func TestComingFromNamesTests(t *testing.T) {
	sections := map[string]int{}
	inFolder := map[string]map[string]*ast.FuncDecl{}
	for _, row := range tables(t, "../../docs/coming-from.md") {
		sections[row.section]++
		require.Len(t, row.cells, 4, "line %d", row.line)
		require.NotEmpty(t, row.cells[0], "line %d", row.line)
		require.NotEmpty(t, row.cells[1], "line %d", row.line)
		named := testName.FindAllStringSubmatch(row.cells[3], -1)
		require.NotEmpty(t, named, "line %d names no test, as `folder.TestName`: %q", row.line, row.cells[3])
		for _, name := range named {
			folder, function, sub := name[1], name[2], name[3]
			if inFolder[folder] == nil {
				inFolder[folder] = testFunctions(t, filepath.Join("../..", folder))
			}
			found := inFolder[folder][function]
			require.NotNil(t, found, "line %d: there is no test %s in %s", row.line, function, folder)
			if sub != "" {
				require.Contains(t, texts(found), sub, "line %d: %s has no such subtest", row.line, function)
			}
		}
	}
	for _, section := range []string{
		"Rocket Job: events", "Serf: events and queries", "Consul: `consul exec`", "Faktory: life of a worker", "A bus inside the process",
	} {
		require.GreaterOrEqual(t, sections[section], 10, section)
	}
	require.Len(t, sections, 5)
}

// testFunctions are those of a folder's test files.
func testFunctions(t *testing.T, folder string) map[string]*ast.FuncDecl {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	require.NoError(t, err)
	functions := map[string]*ast.FuncDecl{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
				functions[f.Name.Name] = f
			}
		}
	}
	return functions
}

// texts are the string literals of a function, among which its subtests' names are.
func texts(f *ast.FuncDecl) (list []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				list = append(list, text)
			}
		}
		return true
	})
	return list
}

var code = regexp.MustCompile("`([^`]+)`")

// TestComingFromNamesCommands: what the rows call is there, with these flags.
func TestComingFromNamesCommands(t *testing.T) {
	checked := 0
	for _, row := range tables(t, "../../docs/coming-from.md") {
		for _, span := range code.FindAllStringSubmatch(row.cells[1]+row.cells[2], -1) {
			ours, isCommand := strings.CutPrefix(span[1], "fleetcast ")
			root := (&app{}).rootCommand()
			switch {
			case isCommand:
				words := strings.Fields(strings.Split(ours, " -- ")[0])
				cmd, rest, err := root.Find(words)
				require.NoError(t, err, "line %d", row.line)
				misnamed := cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-")
				require.False(t, cmd == root || misnamed, "line %d: there is no command %q", row.line, ours)
				for _, word := range words {
					require.True(t, hasFlag(cmd, word), "line %d: %s has no flag %s", row.line, cmd.CommandPath(), word)
				}
				checked++
			case strings.HasPrefix(span[1], "--"):
				require.True(t, anyHasFlag(root, strings.Fields(span[1])[0]), "line %d: no command has %s", row.line, span[1])
			}
		}
	}
	require.Greater(t, checked, 50)
}

// hasFlag reports whether a word is no flag, or one of the command.
func hasFlag(cmd *cobra.Command, word string) bool {
	name, _, _ := strings.Cut(word, "=")
	switch {
	case strings.HasPrefix(name, "--"):
		return cmd.Flag(name[2:]) != nil
	case strings.HasPrefix(name, "-") && len(name) == 2:
		return cmd.Flags().ShorthandLookup(name[1:]) != nil || cmd.InheritedFlags().ShorthandLookup(name[1:]) != nil
	}
	return true
}

func anyHasFlag(cmd *cobra.Command, flag string) bool {
	if hasFlag(cmd, flag) {
		return true
	}
	for _, sub := range cmd.Commands() {
		if anyHasFlag(sub, flag) {
			return true
		}
	}
	return false
}

// TestReadmeIsCompiled: what the README has of Go is a part of an example that is
// compiled and whose output is checked. A line "// …" stands for what it leaves out.
func TestReadmeIsCompiled(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	example, err := os.ReadFile("../../event/example_define_test.go")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, blocks)
	source := withoutIndent(string(example))
	for _, block := range blocks {
		for part := range strings.SplitSeq(withoutIndent(block[1]), "// …\n") {
			require.Contains(t, source, strings.TrimSpace(part))
		}
	}
}

func withoutIndent(text string) string {
	return regexp.MustCompile(`(?m)^\t+`).ReplaceAllString(text, "")
}
