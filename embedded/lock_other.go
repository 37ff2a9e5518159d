//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package embedded

import "os"

// lockFolder does nothing where the system has no flock: there the user sees
// to it that one store at a time uses the folder.
func lockFolder(string) (*os.File, error) { return nil, nil }
