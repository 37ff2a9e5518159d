package config

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"github.com/fleetcast/fleetcast/internal/spelling"
)

// warn logs what is new in a snapshot and looks like a mistake, though it does no
// harm: paths that are nearly declared, secrets that are in the collection in the
// clear, and those that there is no key for.
func (s *Snapshot) warn(ctx context.Context, old *Snapshot) {
	var declared []string
	for path, h := range s.values {
		if h.declared != nil {
			declared = append(declared, path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(s.values)) {
		h, was := s.values[path], old.values[path]
		if h.declared == nil && was.origin != h.origin {
			if guess := spelling.Nearest(path, declared, typingMistakes(path)); guess != "" {
				zerolog.Ctx(ctx).Warn().Str("path", path).Stringer("origin", h.origin).Msgf("the setting is not declared: did you mean %s?", guess)
			}
		}
		if h.locked != nil && was.locked == nil {
			zerolog.Ctx(ctx).Warn().Err(h.locked).Msg("the secret is left out: nothing here has declared it, and there is no key to read it")
		}
		if h.clear && !was.clear {
			zerolog.Ctx(ctx).Warn().Str("path", path).Stringer("origin", h.origin).
				Msg("the secret is not encrypted in the collection: set it again by `fleetcast config set`")
		}
	}
}

// typingMistakes is how many edits make of a path another one that was meant. A host
// is no port.
func typingMistakes(path string) int {
	name := path[strings.LastIndex(path, "/")+1:]
	return max(1, len(name)/4)
}
