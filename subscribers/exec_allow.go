package subscribers

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// checkPattern says what is wrong with a pattern of allowed commands.
func checkPattern(pattern string) error {
	words := strings.Fields(pattern)
	if len(words) == 0 {
		return errors.New("an empty pattern of allowed commands")
	}
	for _, word := range words {
		for element := range strings.SplitSeq(word, "/") {
			if _, err := path.Match(element, ""); err != nil {
				return fmt.Errorf("pattern of allowed commands %q: %q is none: write %q with * (any text), ? (one character) and [a-z]",
					pattern, element, word)
			}
		}
	}
	return nil
}

// allows compares word by word: what is one argument can never count as two.
func allows(pattern, command []string) bool {
	if last := len(pattern) - 1; last > 0 && pattern[last] == "*" && len(command) >= last {
		pattern, command = pattern[:last], command[:last]
	}
	if len(pattern) != len(command) {
		return false
	}
	for i := range pattern {
		if !allowsWord(pattern[i], command[i]) {
			return false
		}
	}
	return true
}

// allowsWord compares as a shell would, element by element of a path. What an
// operator has left open must not become an option, or another folder's file.
func allowsWord(pattern, word string) bool {
	if strings.HasPrefix(word, "-") && strings.ContainsAny(pattern[:1], "*?[") {
		return false
	}
	patterns, elements := strings.Split(pattern, "/"), strings.Split(word, "/")
	if len(patterns) != len(elements) {
		return false
	}
	for i, element := range elements {
		met, err := path.Match(patterns[i], element)
		above := element == ".." && patterns[i] != ".."
		if !met || err != nil || above {
			return false
		}
	}
	return true
}
