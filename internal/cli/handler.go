package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// handler is a script, and which events it is for.
type handler struct {
	events    []string // names or patterns
	script    string   // its program as it was written, for people
	words     []string
	dir       string
	env       []string
	limit     time.Duration
	maxOutput int64
	parallel  bool
}

// wants reports whether the script is for events of the name.
func (h *handler) wants(name string) bool {
	for _, pattern := range h.events {
		if pattern == name || matchName(pattern, name) {
			return true
		}
	}
	return false
}

// matchName is path.Match for names, in which a slash is nothing special.
func matchName(pattern, name string) bool {
	met, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(name, "/", "\x00"))
	return met && err == nil
}

// checkEvents says what is wrong with the names or patterns of events.
func checkEvents(patterns []string) error {
	for _, pattern := range patterns {
		if pattern == "" {
			return fmt.Errorf("the name of an event is empty: write one, or '*' for every event")
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("event %q is no pattern: write * for any text, ? for one character, [a-z] for one of these, and \\ before what is meant as it is", pattern)
		}
	}
	return nil
}

// find makes the program's path absolute, or finds it in PATH. A path is relative to
// folder, or with none to where this process is.
func (h *handler) find(folder string) error {
	if len(h.words) == 0 || h.words[0] == "" {
		return fmt.Errorf("the script is missing: write a program and its arguments, such as ./deploy.sh --fast")
	}
	h.script = h.words[0]
	name := h.script
	if strings.ContainsRune(name, filepath.Separator) && !filepath.IsAbs(name) {
		var err error
		if name, err = filepath.Abs(filepath.Join(folder, name)); err != nil {
			return err
		}
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("script %s cannot be run: %w", h.script, whyNot(name, err))
	}
	h.words[0] = found
	return nil
}

// whyNot says in words what exec.LookPath means.
func whyNot(name string, err error) error {
	if !strings.ContainsRune(name, filepath.Separator) {
		return fmt.Errorf("there is no such program in PATH; write ./%s for a file of the folder", name)
	}
	info, missing := os.Stat(name)
	switch {
	case missing != nil:
		return fmt.Errorf("there is no such file: %s", name)
	case info.IsDir():
		return fmt.Errorf("%s is a folder", name)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("it is not executable: chmod +x %s", name)
	}
	return err
}

// ourVariables begin the names of variables that scripts get from listen.
var ourVariables = []string{"FLEETCAST_EVENT", "FLEETCAST_SERVER", "FLEETCAST_LABEL_"}

func checkVariable(name string) error {
	if name == "" || strings.ContainsAny(name, "=\x00") {
		return fmt.Errorf("env: %q is no name of a variable", name)
	}
	for _, prefix := range ourVariables {
		if strings.HasPrefix(name, prefix) {
			return fmt.Errorf("env: %s is set by listen itself: choose another name", name)
		}
	}
	return nil
}
