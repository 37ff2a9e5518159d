package embedded

import (
	"regexp"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

func compileRegex(path []string, v bsoncore.Value, all bsoncore.Document) (predicate, error) {
	pattern, flags, ok := v.RegexOK()
	if !ok {
		if pattern, ok = v.StringValueOK(); !ok {
			return nil, refuse(codeBadValue, "$regex has to be a string")
		}
	}
	if o, err := all.LookupErr("$options"); err == nil {
		if flags, ok = o.StringValueOK(); !ok {
			return nil, refuse(codeBadValue, "$options has to be a string")
		}
	}
	t, err := matchesRegex(pattern, flags)
	return anyValue(path, t), err
}

// matchesRegex accepts what Go's expressions have in common with MongoDB's.
func matchesRegex(pattern, flags string) (test, error) {
	if strings.Trim(flags, "ims") != "" {
		return nil, refuse(codeBadValue, "regex options %q: only i, m and s are supported", flags)
	}
	expr := pattern
	if flags != "" {
		expr = "(?" + flags + ")" + pattern
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, refuse(codeBadValue, "regular expression %q is invalid or not supported: %v", pattern, err)
	}
	return func(v bsoncore.Value, _ bool) bool {
		if p, f, ok := v.RegexOK(); ok {
			return p == pattern && f == flags
		}
		return bracket(v.Type) == 4 && re.Match(v.Data[4:len(v.Data)-1])
	}, nil
}
