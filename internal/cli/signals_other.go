//go:build !unix

package cli

import "os"

// signals is empty where programs cannot be steered by signals.
var signals map[string]os.Signal
