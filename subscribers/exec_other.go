//go:build !unix

package subscribers

import (
	"context"

	"github.com/fleetcast/fleetcast/internal/procgroup"
)

func (x *Exec) execute(context.Context, ExecParameters) (ExecResult, error) {
	return ExecResult{}, procgroup.Supported()
}
