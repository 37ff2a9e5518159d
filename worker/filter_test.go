package worker

import (
	"path"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFilterMatch(t *testing.T) {
	for name, test := range map[string]struct {
		filter   Filter
		pass     []string
		dontPass []string
	}{
		"everything":        {Filter{}, []string{"import", "", "a/b"}, nil},
		"where is free":     {Filter{Where: map[string]any{"a": 1}}, []string{"import"}, nil},
		"include":           {Filter{Include: []string{"import"}}, []string{"import"}, []string{"imports", "Import", ""}},
		"include any":       {Filter{Include: []string{"import", "ex*"}}, []string{"import", "export"}, []string{"report"}},
		"star stops at /":   {Filter{Include: []string{"a*"}}, []string{"ab"}, []string{"a/b"}},
		"exclude":           {Filter{Exclude: []string{"im*", "?x"}}, []string{"export", "xx1", ""}, []string{"import", "ax"}},
		"malformed include": {Filter{Include: []string{"[a"}}, nil, []string{"a", "[a"}},
		"malformed exclude": {Filter{Exclude: []string{"[a"}}, []string{"a", "[a"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, kind := range test.pass {
				require.True(t, test.filter.Match(kind), kind)
			}
			for _, kind := range test.dontPass {
				require.False(t, test.filter.Match(kind), kind)
			}
		})
	}
}

func TestFilterValidate(t *testing.T) {
	require.NoError(t, Filter{}.Validate())
	require.NoError(t, Filter{Include: []string{"a*"}, Where: map[string]any{"x": 1}}.Validate())
	require.NoError(t, Filter{Exclude: []string{"a*", "[b-d]?"}}.Validate())
	require.ErrorContains(t, Filter{Include: []string{"a"}, Exclude: []string{"b"}}.Validate(), "not both")
	require.ErrorIs(t, Filter{Include: []string{"a", "a[b"}}.Validate(), path.ErrBadPattern)
	require.ErrorIs(t, Filter{Exclude: []string{`b\`}}.Validate(), path.ErrBadPattern)
	require.ErrorContains(t, Filter{Include: []string{""}}.Validate(), "empty")
}
