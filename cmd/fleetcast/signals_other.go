//go:build !unix

package main

import "os"

// operator has no signals to receive.
func operator() (quiet, dump, refresh <-chan os.Signal) { return nil, nil, nil }
