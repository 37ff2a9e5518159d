package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/fleetcast/fleetcast/internal/spelling"
)

// maxPath bounds a path, in bytes.
const maxPath = 256

// element is what a path is made of, between the slashes.
var element = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// CheckPath reports what is wrong with a path. It is elements of letters, digits,
// "_", "-" and ".", joined by "/", as in app/smtp/host; at most 256 bytes.
func CheckPath(path string) error {
	if len(path) > maxPath {
		return fmt.Errorf("path %.32q… is %d bytes long: at most %d", path, len(path), maxPath)
	}
	for e := range strings.SplitSeq(path, "/") {
		if !element.MatchString(e) {
			return fmt.Errorf("%q is no path of a setting: it has letters, digits, _, - and . between slashes, as in app/smtp/host", path)
		}
	}
	return nil
}

// ownPath begins the paths of fleetcast's own settings.
const ownPath = "fleetcast/"

// EnvName returns the environment variable of a path: its elements in capitals,
// joined by "_", as is what is neither a letter nor a digit. The prefix is put before
// it, but not before fleetcast's own: fleetcast/max_workers is FLEETCAST_MAX_WORKERS
// with any prefix. It is empty for a path of one element without a prefix: nobody
// means HOME by home.
func EnvName(prefix, path string) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == '-' || r == '.' {
			return '_'
		}
		return r
	}, strings.ToUpper(path))
	switch {
	case strings.HasPrefix(path, ownPath):
		return name
	case prefix == "" && !strings.Contains(path, "/"):
		return ""
	}
	return prefix + name
}

// SecretPath reports whether a path is secret by its name: one of its elements is
// secret or secrets.
func SecretPath(path string) bool {
	for e := range strings.SplitSeq(path, "/") {
		if e == "secret" || e == "secrets" {
			return true
		}
	}
	return false
}

// under reports whether path is top or below it; everything is below "".
func under(path, top string) bool {
	rest, ok := strings.CutPrefix(path, top)
	return ok && (top == "" || rest == "" || rest[0] == '/')
}

// join puts a name below a path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "/" + name
}

// didYouMean completes a message about an unknown path.
func didYouMean(path string, known []string) string {
	if guess := spelling.Nearest(path, known, min(len(path)/3, 4)); guess != "" {
		return fmt.Sprintf("; did you mean %q?", guess)
	}
	return ""
}
