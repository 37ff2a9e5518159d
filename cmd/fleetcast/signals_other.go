//go:build !unix

package main

import "os"

// operator has no signals to receive.
func operator() (quiet, dump <-chan os.Signal) { return nil, nil }
