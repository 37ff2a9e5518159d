// Package spelling guesses which known name a mistyped one was meant to be.
package spelling

import (
	"slices"
	"strings"
)

// Nearest returns the known name that the fewest edits make of name, whatever the
// case: at most so many. Of equally near ones it is the alphabetically first; empty
// when there is none.
func Nearest(name string, known []string, most int) string {
	best := ""
	for _, k := range slices.Sorted(slices.Values(known)) {
		if n := edits(strings.ToLower(name), strings.ToLower(k)); n <= most {
			best, most = k, n-1
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
