package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// ValueText is a value as it could be set again: a text as it is, all else as JSON.
func ValueText(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// LongestValue bounds a value in a table, in characters.
const LongestValue = 60

// Cell is a value in a table.
func Cell(v any) string {
	switch text, ok := v.(string); {
	case v == nil:
		return "(not set)"
	case ok && (text == "" || text != strings.Join(strings.Fields(text), " ") || !Printable(text)):
		return Shorten(strconv.Quote(text), LongestValue)
	}
	return Shorten(ValueText(v), LongestValue)
}

// Printable reports whether a text is one line that does nothing to a terminal.
func Printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Change says from which value a setting has come to which.
func Change(old, now any) string { return Cell(old) + " → " + Cell(now) }
