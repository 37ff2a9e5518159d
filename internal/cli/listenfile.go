package cli

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// listenFile is the file of listen --config; docs/listen.yaml explains each key.
type listenFile struct {
	path string

	Name           setting[string]            `yaml:"name"`
	Labels         setting[map[string]string] `yaml:"labels"`
	Durable        setting[string]            `yaml:"durable"`
	From           setting[string]            `yaml:"from"`
	scriptSettings `yaml:",inline"`
	Handlers       []handlerEntry `yaml:"handlers"`
}

// scriptSettings can be given for all scripts, and for one.
type scriptSettings struct {
	Timeout   setting[duration] `yaml:"script_timeout"`
	MaxOutput setting[int64]    `yaml:"max_output"`
	Parallel  setting[bool]     `yaml:"parallel"`
}

// handlerEntry is one of the handlers.
type handlerEntry struct {
	Event          setting[eventNames]        `yaml:"event"`
	Run            setting[commandLine]       `yaml:"run"`
	Dir            setting[string]            `yaml:"dir"`
	Env            setting[map[string]string] `yaml:"env"`
	scriptSettings `yaml:",inline"`
}

// line is where the entry begins, 0 if it is empty.
func (h *handlerEntry) line() int {
	first := 0
	for _, line := range []int{
		h.Event.line, h.Run.line, h.Dir.line, h.Env.line, h.Timeout.line, h.MaxOutput.line, h.Parallel.line,
	} {
		if line > 0 && (first == 0 || line < first) {
			first = line
		}
	}
	return first
}

// setting is a value of the file, if it is there, and its line.
type setting[T any] struct {
	value T
	line  int // 0 if it is not in the file
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *setting[T]) UnmarshalYAML(node *yaml.Node) error {
	s.line = node.Line
	if err := node.Decode(&s.value); err != nil {
		return lineError(node.Line, "%s", wanted(s.value))
	}
	return nil
}

// or is the value of the file, else the given one.
func (s setting[T]) or(value T) T {
	if s.line == 0 {
		return value
	}
	return s.value
}

// duration is written as in the flags. A number alone would be read as nanoseconds.
type duration time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *duration) UnmarshalYAML(node *yaml.Node) error {
	value, err := time.ParseDuration(node.Value)
	*d = duration(value)
	return err
}

// eventNames is one name or pattern, or a list of them.
type eventNames []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (e *eventNames) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*e = eventNames{node.Value}
		return nil
	}
	return node.Decode((*[]string)(e))
}

// commandLine is a program and its arguments: a text that is split at blanks, or a
// list for arguments with blanks in them.
type commandLine []string

// UnmarshalYAML implements yaml.Unmarshaler.
func (c *commandLine) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*c = strings.Fields(node.Value)
		return nil
	}
	return node.Decode((*[]string)(c))
}

// wanted says what to write in place of what cannot be read.
func wanted(value any) string {
	switch value.(type) {
	case duration:
		return "that is no duration: write it as 30s or 5m, and 0 for never"
	case int64:
		return "that is no number: write bytes as digits, such as 65536"
	case bool:
		return "that is neither true nor false"
	case map[string]string:
		return "these are no pairs: write KEY: VALUE, each in a line of its own"
	case eventNames:
		return "that is no event: write a name, a pattern such as 'deploy-*', or a list of them"
	case commandLine:
		return "that is no command: write ./script.sh --option, or a list of the program and its arguments"
	}
	return "that is no text"
}

// lineError is a fault as the YAML library tells its own, so that it collects them.
func lineError(line int, format string, args ...any) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: ", line) + fmt.Sprintf(format, args...)}}
}

func readListenFile(path string) (*listenFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError("--config: %w", err)
	}
	return parseListenFile(path, data)
}

// parseListenFile says all that is wrong with the form of a file at once.
func parseListenFile(path string, data []byte) (*listenFile, error) {
	f := &listenFile{path: path}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	err := decoder.Decode(f)
	switch {
	case errors.Is(err, io.EOF):
		return nil, usageError("--config %s: the file is empty: it needs handlers, such as docs/listen.yaml has", path)
	case err != nil:
		return nil, usageError("--config: %w", inFile(path, err))
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, usageError("--config %s: there is more after the end of the document (a line of ---): one file has one", path)
	}
	return f, nil
}

// check finds what is wrong with the settings for all.
func (f *listenFile) check() error {
	var faults []error
	if f.From.line > 0 && !isStart(f.From.value) {
		faults = append(faults, f.fault(f.From.line, "from %q: write latest or earliest", f.From.value))
	}
	for key := range f.Labels.value {
		if key == "" {
			faults = append(faults, f.fault(f.Labels.line, "the key of a label is empty"))
		}
	}
	return errors.Join(append(faults, f.checkLimits(f.scriptSettings))...)
}

func isStart(word string) bool { return word == "latest" || word == "earliest" }

// checkLimits finds what is wrong with the limits, for all scripts or for one.
func (f *listenFile) checkLimits(s scriptSettings) error {
	switch {
	case s.Timeout.value < 0:
		return f.fault(s.Timeout.line, "script_timeout is negative: 0 is for never")
	case s.MaxOutput.value < 0:
		return f.fault(s.MaxOutput.line, "max_output is negative: 0 keeps nothing")
	}
	return nil
}

// fault is what is wrong with a value of the file.
func (f *listenFile) fault(line int, format string, args ...any) error {
	place := f.path
	if line > 0 {
		place += fmt.Sprintf(":%d", line)
	}
	return fmt.Errorf("%s: %w", place, fmt.Errorf(format, args...))
}

// folder is what the file's relative paths are relative to.
func (f *listenFile) folder() (string, error) {
	path, err := filepath.Abs(f.path)
	return filepath.Dir(path), err
}

var (
	faultLine  = regexp.MustCompile(`(?s)^(?:yaml: )?line (\d+): (.*)$`)
	unknownKey = regexp.MustCompile(`(?s)^field (.*) not found in type cli\.(\w+)$`)
	otherShape = regexp.MustCompile(`(?s)^cannot unmarshal .* into (?:\[\])?cli\.(\w+)$`)
)

// inFile names file and line before each fault, in words for people.
func inFile(path string, err error) error {
	texts := []string{err.Error()}
	var several *yaml.TypeError
	if errors.As(err, &several) {
		texts = several.Errors
	}
	var faults []error
	for _, text := range texts {
		found := faultLine.FindStringSubmatch(text)
		if found == nil {
			faults = append(faults, fmt.Errorf("%s: %s", path, strings.TrimPrefix(text, "yaml: ")))
			continue
		}
		faults = append(faults, fmt.Errorf("%s:%s: %s", path, found[1], inWords(found[2])))
	}
	return errors.Join(faults...)
}

// inWords says in our words what the library says of Go types.
func inWords(text string) string {
	if found := unknownKey.FindStringSubmatch(text); found != nil {
		return fmt.Sprintf("unknown key %q; known here: %s", found[1], knownKeys(found[2]))
	}
	found := otherShape.FindStringSubmatch(text)
	switch {
	case found == nil:
		return text
	case found[1] == handlerType:
		return "handlers are a list, with - before each, of the keys " + knownKeys(handlerType)
	}
	return "write KEY: VALUE, with the keys " + knownKeys("")
}

const handlerType = "handlerEntry"

func knownKeys(typ string) string {
	keys := yamlKeysOf[listenFile]()
	if typ == handlerType {
		keys = yamlKeysOf[handlerEntry]()
	}
	return strings.Join(keys, ", ")
}

// yamlKeysOf are the keys that a struct is read from.
func yamlKeysOf[T any]() []string { return yamlKeys(reflect.TypeFor[T]()) }

func yamlKeys(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline":
			keys = append(keys, yamlKeys(f.Type)...)
		case cmp.Or(key, "-") != "-":
			keys = append(keys, key)
		}
	}
	return keys
}
