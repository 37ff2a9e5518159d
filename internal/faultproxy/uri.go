package faultproxy

import (
	"fmt"
	"slices"
	"strings"
)

// rewrite takes the one host out of a connection string and puts another in
// its place, to which drivers shall hold on whatever the server says of itself.
func rewrite(uri, host string) (rewritten, upstream string, err error) {
	rest, ok := strings.CutPrefix(uri, "mongodb://")
	if !ok {
		return "", "", fmt.Errorf("a fault proxy needs a URI that begins with mongodb://, not %q", uri)
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, database, _ := strings.Cut(rest, "/")
	login, upstream, found := strings.Cut(authority, "@")
	if !found {
		login, upstream = "", authority
	}
	if upstream == "" || strings.Contains(upstream, ",") {
		return "", "", fmt.Errorf("a fault proxy stands before one host, not %q", upstream)
	}
	if !strings.Contains(upstream, ":") {
		upstream += ":27017"
	}
	options, err := directly(query)
	if err != nil {
		return "", "", err
	}
	if found {
		login += "@"
	}
	return "mongodb://" + login + host + "/" + database + "?" + options, upstream, nil
}

// directly alters the options of a URI so that the proxy can follow.
func directly(query string) (string, error) {
	var options []string
	for option := range strings.SplitSeq(query, "&") {
		switch name, value, _ := strings.Cut(strings.ToLower(option), "="); {
		case (name == "tls" || name == "ssl") && value == "true":
			return "", fmt.Errorf("a fault proxy cannot look into encrypted connections (%s)", option)
		case name == "", name == "directconnection", name == "compressors", name == "loadbalanced":
		default:
			options = append(options, option)
		}
	}
	return strings.Join(slices.Insert(options, 0, "directConnection=true"), "&"), nil
}
