package settings

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Scalar reads an undeclared value as YAML would: numbers, true and false as such,
// "10" in quotes as text. What would not be written the same again stays text, so that
// 007 and 1.10 lose nothing.
func Scalar(text string) any {
	var node yaml.Node
	if yaml.Unmarshal([]byte(text), &node) != nil || len(node.Content) != 1 || node.Content[0].Kind != yaml.ScalarNode {
		return text
	}
	one := node.Content[0]
	quoted := one.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0
	switch {
	case quoted && one.HeadComment+one.LineComment+one.FootComment == "":
		return one.Value
	case text == "true" || text == "false":
		return text == "true"
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(i, 10) == text {
		return i
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && strconv.FormatFloat(f, 'f', -1, 64) == text && strings.Contains(text, ".") {
		return f
	}
	return text
}
