package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/internal/output"
	"github.com/fleetcast/fleetcast/internal/settings"
	"github.com/fleetcast/fleetcast/subscribers"
	"go.mongodb.org/mongo-driver/v2/bson"
)

const (
	settingsShown = 300 // paths
	historyShown  = 100
)

// settingsRoutes are the pages of the settings.
func (c *Console) settingsRoutes(page func(pattern string, p permission, do handler)) {
	page("GET /settings", mayRead, c.settingsPage)
	page("GET /settings/history", mayRead, c.historyPage)
	page("GET /settings/edit", mayRead, c.settingPage)
	page("POST /settings/set", mayConfigure, c.setSetting)
	page("POST /settings/unset", mayConfigure, c.unsetSetting)
	page("POST /settings/effective", mayAsk, c.effectivePage)
}

// editor acts on the settings in the name of a user, for one request.
func (c *Console) editor(ctx context.Context, u User) *settings.Editor {
	return settings.NewEditor(ctx, c.db, c.cfg.Keyring, c.publisher(u))
}

// settingsView is the list of settings.
type settingsView struct {
	Query   string
	OnlySet bool
	Paths   []settingPath
	More    int
}

// settingPath is what is known of one path.
type settingPath struct {
	Path     string
	Declared []output.Declaration
	Values   []config.Setting // of all scopes
}

// Doc says what it is.
func (p settingPath) Doc() string {
	for _, d := range p.Declared {
		if d.Doc != "" {
			return d.Doc
		}
	}
	return ""
}

func (c *Console) settingsPage(r *request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	e := c.editor(ctx, r.user)
	paths, err := settingPaths(ctx, e, "")
	if err != nil {
		return err
	}
	v := settingsView{Query: strings.TrimSpace(r.URL.Query().Get("q")), OnlySet: r.URL.Query().Get("set") != ""}
	for _, p := range paths {
		if v.OnlySet && len(p.Values) == 0 || !strings.Contains(strings.ToLower(p.Path+"\n"+p.Doc()), strings.ToLower(v.Query)) {
			continue
		}
		if len(v.Paths) == settingsShown {
			v.More++
			continue
		}
		v.Paths = append(v.Paths, p)
	}
	return c.show(r, "settings", c.page(r, "Settings", "settings", v))
}

// settingPaths are those that are set or declared, by path: all, or one.
func settingPaths(ctx context.Context, e *settings.Editor, only string) ([]settingPath, error) {
	set, err := e.List(ctx, config.Filter{Under: only})
	if err != nil {
		return nil, err
	}
	declared, err := e.Declarations(ctx)
	if err != nil {
		return nil, err
	}
	var all []settingPath
	at := func(path string) *settingPath {
		i := slices.IndexFunc(all, func(p settingPath) bool { return p.Path == path })
		if i < 0 {
			all, i = append(all, settingPath{Path: path}), len(all)
		}
		return &all[i]
	}
	for _, d := range declared {
		if only == "" || d.Path == only {
			p := at(d.Path)
			p.Declared = append(p.Declared, output.ToDeclaration(d.Declaration, d.Servers))
		}
	}
	for _, s := range set {
		if only == "" || s.Path == only {
			p := at(s.Path)
			p.Values = append(p.Values, s)
		}
	}
	slices.SortFunc(all, func(a, b settingPath) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

// settingView is the form of one setting in one scope.
type settingView struct {
	settingPath
	Scope     config.Scope
	Kind      string // of the scope: global, environment, label or server
	Name      string // of the environment, the label or the server
	Is        config.Setting
	Set       bool
	Secret    bool
	Known     bool // declared
	Free      bool // it may be set though it is not declared
	Field     field
	Version   int64
	Refresh   bool
	History   []historyLine
	Nobody    bool // no server of the registry is in the scope
	Fault     string
	Done      string
	Permitted bool
}

// historyLine is a change.
type historyLine struct {
	config.Record
	Words string
}

func historyOf(records []config.Record) (lines []historyLine) {
	for _, r := range records {
		lines = append(lines, historyLine{r, output.RecordWords(r)})
	}
	return lines
}

// scopeOf reads the scope of a form: as it is written, or by kind and name.
func scopeOf(form url.Values) (config.Scope, error) {
	text := form.Get("scope")
	if kind := form.Get("kind"); kind != "" && kind != string(config.Global) {
		text = kind + ":" + strings.TrimSpace(form.Get("name"))
	}
	scope, err := config.ParseScope(text)
	if err != nil {
		return "", &pageError{http.StatusUnprocessableEntity, err.Error()}
	}
	return scope, nil
}

// settingView reads what is known of the setting that a form names.
func (c *Console) settingView(ctx context.Context, e *settings.Editor, form url.Values) (*settingView, settings.Rules, error) {
	var rules settings.Rules
	path := strings.Trim(strings.TrimSpace(form.Get("path")), "/")
	if err := config.CheckPath(path); err != nil {
		return nil, rules, &pageError{http.StatusUnprocessableEntity, err.Error()}
	}
	scope, err := scopeOf(form)
	if err != nil {
		return nil, rules, err
	}
	v := &settingView{settingPath: settingPath{Path: path}, Scope: scope, Kind: string(scope), Refresh: true}
	v.Kind, v.Name, _ = strings.Cut(string(scope), ":")
	paths, err := settingPaths(ctx, e, path)
	if err != nil {
		return nil, rules, err
	}
	if len(paths) == 1 {
		v.settingPath = paths[0]
	}
	if rules, err = e.Rules(ctx); err != nil {
		return nil, rules, err
	}
	v.Known, v.Free, v.Nobody = rules.Knows(path), rules.Free(path), rules.Nobody(scope)
	if v.Is, err = e.Get(ctx, path, scope); err != nil && !errors.Is(err, config.ErrNotFound) {
		return nil, rules, err
	}
	v.Set, v.Version = err == nil, v.Is.Version
	records, err := e.History(ctx, config.Filter{Under: path}, historyShown)
	if err != nil {
		return nil, rules, err
	}
	v.History = historyOf(slices.DeleteFunc(records, func(r config.Record) bool { return r.Path != path }))
	v.field(rules)
	return v, rules, nil
}

// field makes the input of the value.
func (v *settingView) field(rules settings.Rules) {
	info := event.ParameterInfo{Name: "value", Type: "text"}
	if i := slices.IndexFunc(rules.Declarations, func(d config.Declaration) bool { return d.Path == v.Path }); i >= 0 {
		d := rules.Declarations[i]
		info = event.ParameterInfo{Name: "value", Type: d.Type, Rules: d.Rules, Default: d.Default, Doc: d.Doc, Secret: d.Secret}
	}
	v.Secret = info.Secret || v.Is.Secret || slices.ContainsFunc(v.Values, func(s config.Setting) bool { return s.Secret })
	info.Secret = v.Secret
	v.Field = fields(event.ActionInfo{Parameters: []event.ParameterInfo{info}}, url.Values{})[0]
	v.Field.ID = "value"
	if info.Type == config.JSON {
		v.Field.Kind = "area"
	}
	if v.Field.Choices != nil {
		v.Field.Choices = v.Field.Choices[1:] // there is no choice of the default: that is to unset it
	}
	if v.Set && !v.Secret {
		v.Field.Value = output.ValueText(v.Is.Value)
	}
}

func (c *Console) settingPage(r *request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	form := r.URL.Query()
	v, _, err := c.settingView(ctx, c.editor(ctx, r.user), form)
	if err != nil {
		return err
	}
	switch form.Get("done") {
	case "changed":
		v.Done = "It is done. No living server is concerned, so none was told to refresh."
		if form.Get("refresh") == "" {
			v.Done = "It is done. Servers follow when they refresh."
		}
	case "same":
		v.Done = "It is so already: nothing was changed."
	}
	return c.showSetting(r, http.StatusOK, v)
}

func (c *Console) showSetting(r *request, status int, v *settingView) error {
	v.Permitted = c.allows(r.user, mayConfigure)
	return c.showAs(r, status, "setting", c.page(r, v.Path, "settings", v))
}

// setSetting sets it, if it still is what the form has shown.
func (c *Console) setSetting(r *request) error {
	return c.changeSetting(r, func(ctx context.Context, e *settings.Editor, v *settingView, rules settings.Rules, version *int64) (settings.Changed, error) {
		text := strings.ReplaceAll(r.PostForm.Get("value"), "\r\n", "\n") // of a textarea
		if v.Field.Value = text; v.Secret {
			v.Field.Value = ""
		}
		w := config.Write{
			Path: v.Path, Scope: v.Scope, Value: text, IfVersion: version,
			Secret: v.Secret || r.PostForm.Get("secret") != "", Undeclared: v.Free || r.PostForm.Get("undeclared") != "",
		}
		if !v.Known {
			w.Value = settings.Scalar(text)
		}
		return e.Change(ctx, rules, w)
	})
}

func (c *Console) unsetSetting(r *request) error {
	return c.changeSetting(r, func(ctx context.Context, e *settings.Editor, v *settingView, _ settings.Rules, version *int64) (settings.Changed, error) {
		return e.Remove(ctx, v.Path, v.Scope, version)
	})
}

// changeSetting does a change and lets servers refresh. What is wrong with it is shown in
// the form, with what was typed.
func (c *Console) changeSetting(r *request, do func(context.Context, *settings.Editor, *settingView, settings.Rules, *int64) (settings.Changed, error)) error {
	if err := r.form(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	e := c.editor(ctx, r.user)
	v, rules, err := c.settingView(ctx, e, r.PostForm)
	if err != nil {
		return err
	}
	version, err := strconv.ParseInt(r.PostForm.Get("if_version"), 10, 64)
	if err != nil {
		return &pageError{http.StatusUnprocessableEntity, "the form does not say which version it has shown: open it again"}
	}
	v.Refresh = r.PostForm.Get("refresh") != ""
	changed, err := do(ctx, e, v, rules, &version)
	if err != nil {
		status := statusOf(err)
		if status >= http.StatusInternalServerError {
			return err
		}
		v.Fault = err.Error()
		if errors.Is(err, config.ErrConflict) {
			v.Fault += ": nothing was changed. What it is now stands below; if you go on, you change that."
		}
		return c.showSetting(r, status, v)
	}
	back := url.Values{"path": {v.Path}, "scope": {string(v.Scope)}, "done": {"changed"}}
	switch {
	case !changed.Done:
		back.Set("done", "same")
	case v.Refresh:
		back.Set("refresh", "1")
		id, err := c.refreshServers(r, settings.Concerned(v.Scope))
		if err != nil {
			return err
		}
		if id != "" {
			return c.redirect(r, "/events/"+id)
		}
	}
	return c.redirect(r, "/settings/edit?"+back.Encode())
}

// refreshServers lets the servers refresh who are concerned, and returns the event's id;
// none if no living server is.
func (c *Console) refreshServers(r *request, target event.Target) (id string, err error) {
	e := event.New("config", "refresh", nil, event.To(target), event.By(c.inNameOf(r.user)))
	members, err := c.bus.Match(r.Context(), e)
	var unknown *event.UnknownError
	switch {
	case errors.As(err, &unknown), err == nil && len(members) == 0:
		return "", nil
	case err != nil:
		return "", fmt.Errorf("the setting is changed, but the servers were not told: %w", err)
	}
	e.Learn(members)
	c.perform(r.Context(), e, event.DefaultWait)
	return e.ID.Hex(), nil
}

// historyView is the history of all settings, or of those below a path.
type historyView struct {
	Under string
	Lines []historyLine
}

func (c *Console) historyPage(r *request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readTimeout)
	defer cancel()
	v := historyView{Under: strings.Trim(strings.TrimSpace(r.URL.Query().Get("path")), "/")}
	if v.Under != "" {
		if err := config.CheckPath(v.Under); err != nil {
			return &pageError{http.StatusUnprocessableEntity, err.Error()}
		}
	}
	records, err := c.editor(ctx, r.user).History(ctx, config.Filter{Under: v.Under}, historyShown)
	if err != nil {
		return err
	}
	v.Lines = historyOf(records)
	return c.show(r, "history", c.page(r, "History of settings", "settings", v))
}

// effectiveView is what is in force on a server.
type effectiveView struct {
	ID, Server string
	Settings   []output.Effective
	Fault      string
}

// effectivePage asks a server for its settings.
func (c *Console) effectivePage(r *request) error {
	if err := r.form(); err != nil {
		return err
	}
	id, err := parseID(r.PostForm.Get("id"))
	if err != nil {
		return err
	}
	one := c.fleet.now(r.Context()).byID[id]
	if one == nil {
		return &pageError{http.StatusNotFound, "no server with this id is in the registry: it has left, or was purged"}
	}
	v := effectiveView{ID: id.Hex(), Server: one.Server.Name}
	e := event.New("config", "list", nil, event.To(event.Target{ServerIDs: []bson.ObjectID{id}}), event.By(c.inNameOf(r.user)))
	v.Settings, err = c.askSettings(r.Context(), e)
	if err != nil {
		v.Fault = err.Error()
	}
	return c.show(r, "effective", c.page(r, "Settings of "+v.Server, "settings", v))
}

// askSettings returns what one server answers.
func (c *Console) askSettings(ctx context.Context, e event.Event) (list []output.Effective, err error) {
	fault := errors.New("it has not answered")
	sum, err := c.bus.CallFunc(ctx, e, event.Callbacks{OnExit: func(r event.Reply) {
		var result subscribers.SettingList[[]config.Value]
		if r.Kind != event.Done {
			fault = errors.New(output.Says(r))
			return
		}
		if fault = r.Result(&result); fault == nil {
			for _, value := range result.Settings {
				list = append(list, output.ToEffective(r, value))
			}
		}
	}}, event.Wait(event.DefaultWait))
	if err == nil && fault != nil && len(sum.Servers) == 1 && sum.Servers[0].Reply == nil {
		fault = errors.New(output.WhyMissing(sum.Servers[0]))
	}
	return list, errors.Join(err, fault)
}
