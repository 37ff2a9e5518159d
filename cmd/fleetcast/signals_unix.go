//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// operator receives TSTP as a wish for quiet, USR1 as one for a thread dump, and HUP
// as one for a refresh of the settings, until the process ends.
func operator() (quiet, dump, refresh <-chan os.Signal) {
	tstp, usr1, hup := make(chan os.Signal, 1), make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(tstp, syscall.SIGTSTP)
	signal.Notify(usr1, syscall.SIGUSR1)
	signal.Notify(hup, syscall.SIGHUP)
	return tstp, usr1, hup
}
