//go:build !unix

package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
)

var (
	defaultPauseSignal os.Signal
	errUnsupported     = errors.New("process workers need a Unix system: they are steered by signals")
)

// child is never made here.
type child struct{ cmd *exec.Cmd }

func (*source) start(int) (*child, error)           { return nil, errUnsupported }
func (*child) run(context.Context) error            { return errUnsupported }
func (*child) pause(context.Context) error          { return errUnsupported }
func (*child) resume(context.Context) error         { return errUnsupported }
func (*child) stop(context.Context) error           { return errUnsupported }
func (*child) dump(context.Context) (string, error) { return "", errUnsupported }
