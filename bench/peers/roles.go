package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

// This program starts itself again in these roles, named by the first argument.
const (
	roleKeep    = "role:keep"    // PROGRAM ARGS...: keep another program
	roleServe   = "role:serve"   // CONTENDER: be its broker
	roleRespond = "role:respond" // CONTENDER N ADDR SOCKET: be its n responders
)

// inRole plays the role that this process was started for. It returns false when
// it was started for none.
func inRole(args []string) bool {
	if len(args) < 2 {
		return false
	}
	var err error
	switch args[0] {
	case roleKeep:
		err = keep(args[1:])
	case roleServe:
		err = serve(args[1])
	case roleRespond:
		err = respond(args[1:])
	default:
		return false
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, args[0]+":", err)
		os.Exit(1)
	}
	return true
}

func serve(name string) error {
	c, err := contenderNamed(name)
	if err != nil {
		return err
	}
	return untilInputCloses(func(ctx context.Context) error {
		return c.serve(ctx, func(addr string) { fmt.Println("ready", addr) })
	})
}

// responders is what the process with the responders knows.
type responders struct {
	addr string // what open has passed
	n    int
	*reporter
	// ready is called once, when all of them listen; with what open wants to know.
	ready func(word string)
}

func respond(args []string) error {
	c, err := contenderNamed(args[0])
	if err != nil {
		return err
	}
	if len(args) != 4 {
		return fmt.Errorf("want NAME N ADDR SOCKET, not %v", args)
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	report, err := newReporter(args[3], n)
	if err != nil {
		return err
	}
	r := &responders{addr: args[2], n: n, reporter: report, ready: func(word string) { fmt.Println("ready", word) }}
	return untilInputCloses(func(ctx context.Context) error { return c.respond(ctx, r) })
}

// respondents starts the process with n responders of a contender.
func (s *site) respondents(ctx context.Context, name string, n int, addr string) (*process, string, error) {
	return s.startRole(ctx, roleRespond, name, strconv.Itoa(n), addr, s.tally.path())
}

// untilInputCloses ends live's context then, and gives it some time to obey.
func untilInputCloses(live func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- live(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-inputClosed():
	}
	cancel()
	select {
	case err := <-ended:
		return err
	case <-time.After(endTime / 2):
		return nil // the process ends now, and all its connections with it
	}
}
