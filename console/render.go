package console

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/fleetcast/fleetcast/internal/output"
)

//go:embed templates static
var files embed.FS

// page is what every template gets.
type page struct {
	Title    string
	Nav      string // which entry of the navigation it belongs to
	Base     string
	User     User
	Login    bool // there is one, so there is a logout
	ReadOnly bool
	Live     string // the path of its event stream, empty for none
	Moving   bool   // it changes: without JavaScript it is loaded anew
	Warning  string
	Data     any
	console  *Console
}

// May reports whether the user may do what the name says.
func (p page) May(name string) bool { return p.console.allows(p.User, permission(name)) }

// functions are those of the templates.
var functions = template.FuncMap{
	"plural": output.Plural,
	"short":  output.Short,
	"labels": output.LabelList,
	"ms":     func(n float64) string { return output.Short(time.Duration(n * float64(time.Millisecond))) },
	"msi":    func(n int64) string { return output.Short(output.Milliseconds(n)) },
	"stamp":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"clock":  func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"date":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"who":    output.Who,
	"mib":    func(n int64) int64 { return n >> 20 },
	"join":   strings.Join,
	"clip":   output.Clip,
	"cell":   output.Cell,
	"scope":  output.ScopeWords,
	"add":    func(a, b int) int { return a + b },
}

// templates are parsed once: each page with the layout and the parts.
var templates = parseTemplates()

func parseTemplates() map[string]*template.Template {
	all := map[string]*template.Template{}
	parts := template.Must(template.New("parts").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/parts.html"))
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		panic(err)
	}
	for _, name := range names {
		all[strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".html")] = template.Must(template.Must(parts.Clone()).ParseFS(files, name))
	}
	return all
}

func (c *Console) page(r *request, title, nav string, data any) page {
	return page{
		Title: title, Nav: nav, Base: c.cfg.Base, User: r.user, Login: c.cfg.Users != nil, ReadOnly: c.cfg.ReadOnly,
		Data: data, console: c,
	}
}

// show writes a page.
func (c *Console) show(r *request, name string, p page) error {
	return c.showAs(r, http.StatusOK, name, p)
}

func (c *Console) showAs(r *request, status int, name string, p page) error {
	text, err := c.render(name, "layout", p)
	if err != nil {
		return err
	}
	r.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	r.w.WriteHeader(status)
	_, _ = r.w.Write(text) // the browser may be gone
	return nil
}

// render executes a part of a page.
func (c *Console) render(name, part string, data any) ([]byte, error) {
	var text bytes.Buffer
	err := templates[name].ExecuteTemplate(&text, part, data)
	return text.Bytes(), err
}

// errorPage shows what went wrong.
func (c *Console) errorPage(r *request, err error) {
	status := statusOf(err)
	if status == http.StatusUnauthorized && c.cfg.Users != nil {
		_ = c.redirect(r, "/login?to="+template.URLQueryEscaper(r.URL.RequestURI()))
		return
	}
	p := c.page(r, http.StatusText(status), "", map[string]any{"Status": status, "Message": err.Error()})
	if err := c.showAs(r, status, "error", p); err != nil {
		c.log.Error().Err(err).Msg("console: the page of an error failed")
	}
}

// static serves what is embedded; its names carry no version, so browsers ask each time
// whether it is still the same.
func (c *Console) static() http.Handler {
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", staticTag)
		server.ServeHTTP(w, r)
	})
}
