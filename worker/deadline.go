package worker

import "time"

// A deadline is a time.Time, and zero for none.

// earlier returns the deadline that comes first.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// due reports whether a deadline has come.
func due(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}

// at returns a channel that receives at the deadline.
func at(deadline time.Time) <-chan time.Time {
	if deadline.IsZero() {
		return nil
	}
	return time.After(time.Until(deadline))
}
