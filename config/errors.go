package config

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrUnavailable is of a collection of settings that could not be read or written:
	// the database is away, slow, or does not permit it. It is temporary, as its method
	// Temporary says.
	ErrUnavailable error = outOfReach{}
	// ErrConflict is of a change to a setting that another has changed meanwhile.
	ErrConflict = errors.New("the setting has been changed meanwhile")
	// ErrNotFound is of a setting that is not there.
	ErrNotFound = errors.New("no such setting")
	// ErrUndeclared is of a path that no server has declared.
	ErrUndeclared = errors.New("no server has declared this setting")
	// ErrNoKey is of a secret without a key to encrypt or decrypt it.
	ErrNoKey = errors.New("there is no key for secret settings")
	// ErrSealed is of a secret that cannot be decrypted: it was made with another key,
	// or altered, or moved here from another path or scope.
	ErrSealed = errors.New("the secret cannot be decrypted")
	// ErrRunning is returned by Run of Settings that run already or have run.
	ErrRunning = errors.New("the settings run already, or have run: open others")
)

type outOfReach struct{}

func (outOfReach) Error() string   { return "the collection of settings is out of reach" }
func (outOfReach) Temporary() bool { return true }

// ValueError is of a value that is not as it must be.
type ValueError struct {
	Path   string
	Origin Origin // zero for a value that is about to be set
	// Value is as it was given, **** when it is secret.
	Value string
	// Want says what is expected, such as "an integer".
	Want string
	// Err is the cause, if it tells more and the value is not secret.
	Err error
}

func (e *ValueError) Error() string {
	from := ""
	if e.Origin.Layer != "" {
		from = " (" + e.Origin.String() + ")"
	}
	text := fmt.Sprintf("%s%s is %s: expected %s", e.Path, from, e.Value, e.Want)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *ValueError) Unwrap() error { return e.Err }

// FaultsError has all that is wrong with the settings that were to be loaded. None of
// them is in force.
type FaultsError struct{ Faults []error }

func (e *FaultsError) Error() string {
	texts := make([]string, 0, len(e.Faults))
	for _, fault := range e.Faults {
		texts = append(texts, fault.Error())
	}
	if len(texts) == 1 {
		return "a setting is wrong, nothing is changed: " + texts[0]
	}
	return fmt.Sprintf("%d settings are wrong, nothing is changed:\n%s", len(texts), strings.Join(texts, "\n"))
}

// Unwrap returns the faults.
func (e *FaultsError) Unwrap() []error { return e.Faults }

// unavailable wraps an error of the database.
func unavailable(doing string, err error) error {
	return fmt.Errorf("%s: %w: %w", doing, ErrUnavailable, err)
}
