package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Scope says for which servers a value in the collection is: "global",
// "environment:NAME", "label:KEY=VALUE" or "server:NAME".
type Scope string

// Global is the scope of all servers.
const Global Scope = "global"

// InEnvironment is the scope of an environment, such as production.
func InEnvironment(name string) Scope { return Scope("environment:" + name) }

// WithLabel is the scope of the servers with a label.
func WithLabel(key, value string) Scope { return Scope("label:" + key + "=" + value) }

// OnServer is the scope of the servers of a name.
func OnServer(name string) Scope { return Scope("server:" + name) }

// maxScope bounds a scope, in bytes.
const maxScope = 256

// ParseScope reads a scope; an empty text is [Global].
func ParseScope(text string) (Scope, error) {
	if text == "" || text == string(Global) {
		return Global, nil
	}
	kind, name, _ := strings.Cut(text, ":")
	key, _, isLabel := strings.Cut(name, "=")
	known := kind == "environment" || kind == "server" || kind == "label" && isLabel && key != ""
	if !known || name == "" || len(text) > maxScope {
		return "", fmt.Errorf("%q is no scope: write global, environment:NAME, label:KEY=VALUE or server:NAME", text)
	}
	return Scope(text), nil
}

// rank orders scopes: what is for fewer servers comes later, and wins.
func (s Scope) rank() int {
	kind, _, _ := strings.Cut(string(s), ":")
	return slices.Index([]string{"global", "environment", "label", "server"}, kind)
}

// compareScopes orders scopes by rank, and labels among themselves by their text.
func compareScopes(a, b Scope) int {
	if a.rank() != b.rank() {
		return a.rank() - b.rank()
	}
	return strings.Compare(string(a), string(b))
}

// Member is who a process is, as scopes tell processes apart. The zero value has the
// global settings alone.
type Member struct {
	Environment string
	Server      string // its name
	Labels      map[string]string
}

// Scopes returns the scopes whose values are for the process, the lowest first. Of
// several labels the alphabetically last one wins.
func (m Member) Scopes() []Scope {
	scopes := []Scope{Global}
	if m.Environment != "" {
		scopes = append(scopes, InEnvironment(m.Environment))
	}
	for _, key := range slices.Sorted(maps.Keys(m.Labels)) {
		scopes = append(scopes, WithLabel(key, m.Labels[key]))
	}
	if m.Server != "" {
		scopes = append(scopes, OnServer(m.Server))
	}
	return scopes
}
