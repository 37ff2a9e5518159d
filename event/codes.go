package event

import (
	"errors"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Error codes of MongoDB that mean something to fleetcast; see
// https://www.mongodb.com/docs/manual/reference/error-codes/.
const (
	codeNamespaceExists     = 48
	codeCommandNotFound     = 59
	codeInvalidOptions      = 72
	codeCommandNotSupported = 115
	codeNotImplemented      = 238
	codeFeatureUnsupported  = 303 // Amazon DocumentDB

	codeShutdownInProgress      = 91
	codePrimarySteppedDown      = 189
	codeNotWritablePrimary      = 10107
	codeInterruptedAtShutdown   = 11600
	codeInterruptedReplState    = 11602
	codeNotPrimaryNoSecondaryOK = 13435

	codeDuplicateKey = 11000
)

func hasCode(err error, code int) bool {
	var server mongo.ServerError
	return errors.As(err, &server) && server.HasErrorCode(code)
}

// cannotDo reports whether the store does not know what it was asked for, as
// stores do that have no capped collections.
func cannotDo(err error) bool {
	for _, code := range []int{codeCommandNotFound, codeInvalidOptions, codeCommandNotSupported, codeNotImplemented, codeFeatureUnsupported} {
		if hasCode(err, code) {
			return true
		}
	}
	return false
}

// isPassing reports whether a write failed in a way that a repetition may mend:
// a lost connection, or a node that is no longer, or not yet, the primary.
func isPassing(err error) bool {
	if mongo.IsNetworkError(err) {
		return true
	}
	for _, code := range []int{codeShutdownInProgress, codePrimarySteppedDown, codeNotWritablePrimary,
		codeInterruptedAtShutdown, codeInterruptedReplState, codeNotPrimaryNoSecondaryOK} {
		if hasCode(err, code) {
			return true
		}
	}
	return false
}

// isDuplicateID reports whether a document could not be inserted because its
// _id is there already.
func isDuplicateID(err error) bool {
	return hasCode(err, codeDuplicateKey) && strings.Contains(err.Error(), "_id")
}
