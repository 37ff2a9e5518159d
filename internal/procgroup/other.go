//go:build !unix

package procgroup

import (
	"context"
	"errors"
)

// Supported says what is missing to run programs here.
func Supported() error {
	return errors.New("running a program needs a Unix system: it is steered by signals")
}

// Run is not to be had here.
func Run(context.Context, Command) (Result, error) { return Result{}, Supported() }
