package main

import (
	"os"
	"testing"
)

// asMain lets the test binary be the program: its arguments are in the environment,
// since those of the tests go before.
const asMain = "PEERS_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if inRole(os.Args[1:]) {
		return
	}
	if os.Getenv(asMain) != "" {
		_ = os.Unsetenv(asMain)
		main()
		return
	}
	os.Exit(m.Run())
}
