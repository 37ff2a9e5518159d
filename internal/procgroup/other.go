//go:build !unix

package procgroup

import "errors"

// Supported says what is missing to run programs here.
func Supported() error {
	return errors.New("running a program needs a Unix system: it is steered by signals")
}
