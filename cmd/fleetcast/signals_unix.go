//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// operator receives TSTP as a wish for quiet, and USR1 as one for a thread dump,
// until the process ends.
func operator() (quiet, dump <-chan os.Signal) {
	tstp, usr1 := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(tstp, syscall.SIGTSTP)
	signal.Notify(usr1, syscall.SIGUSR1)
	return tstp, usr1
}
