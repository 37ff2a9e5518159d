package config

import "slices"

// Together declares a check of settings that must fit each other, as [New] declares a
// setting, for all settings of the process. What it says refuses all that was to be
// loaded, so it should name the paths. It must be quick and have no effects.
func Together(check func(*Snapshot) error) { process.Together(check) }

// Together is the function [Together] for a set of its own.
func (k *Keys) Together(check func(*Snapshot) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.checks = append(k.checks, check)
}

// together returns the checks.
func (k *Keys) together() []func(*Snapshot) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.checks)
}
