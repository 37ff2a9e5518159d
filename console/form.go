package console

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/server"
)

// field is one parameter in a form.
type field struct {
	event.ParameterInfo
	ID      string
	Value   string   // as it was typed
	Choices []string // of a closed list, with an empty one for the default
	Kind    string   // of the input: text, number, password, or area for several lines
	Step    string   // of a number
	Min     string
	Max     string
	Error   string
}

// Hint says what may be typed.
func (f field) Hint() string {
	var parts []string
	parts = append(parts, f.Type)
	switch f.Type {
	case "duration":
		parts = append(parts, "such as 30s or 5m")
	case "time":
		parts = append(parts, "such as 2026-01-31T12:00:00Z")
	case "document", "any", "binary":
		parts = append(parts, "as JSON")
	}
	if strings.HasPrefix(f.Type, "list of ") {
		parts = append(parts, "one in a line")
	}
	if f.Rules != "" && f.Rules != "required" {
		parts = append(parts, strings.TrimPrefix(f.Rules, "required,"))
	}
	if f.Default != "" {
		parts = append(parts, "default "+f.Default)
	}
	return strings.Join(parts, ", ")
}

// fields makes the form of an action, filled in with what was typed.
func fields(info event.ActionInfo, typed url.Values) []field {
	var all []field
	for _, p := range info.Parameters {
		f := field{ParameterInfo: p, ID: "p." + p.Name, Value: typed.Get("p." + p.Name), Kind: "text"}
		switch {
		case p.Secret:
			f.Kind = "password"
		case p.Type == "boolean":
			f.Choices = []string{"", "true", "false"}
		case p.Type == "integer":
			f.Kind, f.Step = "number", "1"
		case p.Type == "number":
			f.Kind, f.Step = "number", "any"
		case strings.HasPrefix(p.Type, "list of "), p.Type == "document", p.Type == "any":
			f.Kind = "area"
		}
		for rule := range strings.SplitSeq(p.Rules, ",") {
			name, value, _ := strings.Cut(rule, "=")
			switch {
			case name == "oneof" && f.Choices == nil:
				f.Choices = append([]string{""}, strings.Fields(value)...)
			case f.Kind == "number" && (name == "min" || name == "gte"):
				f.Min = value
			case f.Kind == "number" && (name == "max" || name == "lte"):
				f.Max = value
			}
		}
		all = append(all, f)
	}
	return all
}

// parameters reads the form of an action. What was left empty is left out, so that its
// default counts. Faults are noted in the fields.
func parameters(all []field) (bson.D, bool) {
	doc, ok := bson.D{}, true
	for i := range all {
		f := &all[i]
		text := f.Value
		if f.Kind != "area" && f.Kind != "password" {
			text = strings.TrimSpace(text)
		}
		if text == "" {
			if f.Required {
				f.Error, ok = "this one is required", false
			}
			continue
		}
		value, err := parameter(f.Type, text)
		if err != nil {
			f.Error, ok = err.Error(), false
			continue
		}
		doc = append(doc, bson.E{Key: f.Name, Value: value})
	}
	return doc, ok
}

// parameter reads one value.
func parameter(kind, text string) (any, error) {
	if of, ok := strings.CutPrefix(kind, "list of "); ok {
		values := bson.A{}
		for line := range strings.Lines(text) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			v, err := parameter(of, line)
			if err != nil {
				return nil, err
			}
			values = append(values, v)
		}
		return values, nil
	}
	switch kind {
	case "integer":
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no integer", text)
		}
		return n, nil
	case "number":
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no number", text)
		}
		return n, nil
	case "boolean":
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither true nor false", text)
		}
		return b, nil
	case "time":
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return nil, fmt.Errorf("%q is no time: write it as 2026-01-31T12:00:00Z", text)
		}
		return t, nil
	case "id":
		return bson.ObjectIDFromHex(text)
	case "document", "any", "binary":
		return jsonValue(text)
	}
	return text, nil // the servers read durations as they are written
}

// jsonValue reads a value of relaxed extended JSON.
func jsonValue(text string) (any, error) {
	var doc bson.D
	if err := bson.UnmarshalExtJSON([]byte(`{"v":`+text+`}`), false, &doc); err != nil {
		return nil, fmt.Errorf("this is no JSON: %w", err)
	}
	if len(doc) != 1 {
		return nil, errors.New("this is more than one value of JSON")
	}
	return doc[0].Value, nil
}

// jsonParameters reads all parameters as one JSON object; nothing means none.
func jsonParameters(text string) (bson.D, error) {
	doc := bson.D{}
	if strings.TrimSpace(text) == "" {
		return doc, nil
	}
	if err := bson.UnmarshalExtJSON([]byte(text), false, &doc); err != nil {
		return nil, fmt.Errorf("the parameters are no JSON object: %w", err)
	}
	return doc, nil
}

// version is an action as some of the living servers describe it.
type version struct {
	event.ActionInfo
	Servers []string `json:"servers"`
}

// versionsOf returns the actions that living servers have, by subscriber and action.
func versionsOf(entries []server.Entry) []version {
	all, at := []version{}, map[string]int{}
	for _, e := range entries {
		if e.Lost() {
			continue
		}
		for subscriber, actions := range e.Actions {
			for _, action := range actions {
				info := event.ActionInfo{Subscriber: subscriber, Action: action, Free: true} // of an older version, which has no table
				if i := slices.IndexFunc(e.Table, func(a event.ActionInfo) bool { return a.Subscriber == subscriber && a.Action == action }); i >= 0 {
					info = e.Table[i]
				}
				text := fmt.Sprintf("%#v", info)
				i, there := at[text]
				if !there {
					i, all = len(all), append(all, version{ActionInfo: info})
					at[text] = i
				}
				all[i].Servers = append(all[i].Servers, e.Name)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b version) int {
		return cmp.Or(cmp.Compare(a.Subscriber, b.Subscriber), cmp.Compare(a.Action, b.Action))
	})
	return all
}

// known is an action of the fleet.
type known struct {
	event.ActionInfo
	Servers int // that have it
}

// actionsOf returns the actions that living servers have, by subscriber and action; where
// servers of several versions describe one differently, as most of them do.
func actionsOf(entries []server.Entry) []known {
	var all []known
	most := 0 // servers that describe the last one of all as it is there
	for _, v := range versionsOf(entries) {
		n := len(v.Servers)
		last := len(all) - 1
		if last < 0 || all[last].Subscriber != v.Subscriber || all[last].Action != v.Action {
			all, most = append(all, known{v.ActionInfo, n}), n
			continue
		}
		all[last].Servers += n
		if n > most {
			all[last].ActionInfo, most = v.ActionInfo, n
		}
	}
	return all
}

// targetOf reads who is meant.
func targetOf(form url.Values) (t event.Target, err error) {
	ids := list(form["id"])
	if len(ids) == 0 && len(form["id"]) > 0 { // no id must not mean every server
		return t, errors.New("server id: it is empty")
	}
	for _, text := range ids {
		id, err := parseID(text)
		if err != nil {
			return t, fmt.Errorf("server id: %w", err)
		}
		t.ServerIDs = append(t.ServerIDs, id)
	}
	t.Names, t.Hosts = list(form["name"]), list(form["host"])
	if t.PIDs, err = integers("pid", list(form["pid"])); err != nil {
		return t, err
	}
	if t.WorkerIDs, err = integers("worker", list(form["worker"])); err != nil {
		return t, err
	}
	if t.Labels, err = labelsOf(list(form["label"])); err != nil {
		return t, err
	}
	return t, t.Validate()
}

func integers(what string, texts []string) (all []int, err error) {
	for _, text := range texts {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%s %q is no number", what, text)
		}
		all = append(all, n)
	}
	return all, nil
}

func labelsOf(texts []string) (map[string]string, error) {
	var labels map[string]string
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("label %q: write it as KEY=VALUE", text)
		}
		if labels == nil {
			labels = map[string]string{}
		}
		labels[key] = value
	}
	return labels, nil
}

// describe says in words who is meant.
func describe(t event.Target) string { return output.Describe(t) }
