package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/fleetcast/fleetcast/config"
	"github.com/fleetcast/fleetcast/event"
	"github.com/fleetcast/fleetcast/server"
)

// pageError is an error with its HTTP status; the message is for people.
type pageError struct {
	status  int
	message string
}

func (e *pageError) Error() string { return e.message }

// statusOf returns what an error is in HTTP.
func statusOf(err error) int {
	var page *pageError
	var unknown *event.UnknownError
	var value *config.ValueError
	switch {
	case errors.As(err, &page):
		return page.status
	case errors.Is(err, server.ErrNotRecorded), errors.Is(err, config.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, config.ErrConflict):
		return http.StatusConflict
	case errors.As(err, &value), errors.Is(err, config.ErrUndeclared), errors.Is(err, config.ErrNoKey):
		return http.StatusUnprocessableEntity
	case errors.As(err, &unknown), errors.Is(err, event.ErrInvalid):
		return http.StatusUnprocessableEntity
	case errors.Is(err, context.DeadlineExceeded), mongo.IsTimeout(err), mongo.IsNetworkError(err):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// request is a request of a user who is known.
type request struct {
	*http.Request
	w    http.ResponseWriter
	user User
}

// handler serves a request, or returns an error before it has written anything.
type handler func(r *request) error

// routes makes the handler of all paths.
func (c *Console) routes() http.Handler {
	mux := http.NewServeMux()
	page := func(pattern string, p permission, do handler) { mux.Handle(pattern, c.guarded(p, do, c.errorPage)) }
	page("GET /{$}", mayRead, c.fleetPage)
	page("GET /live/fleet", mayRead, c.fleetStream)
	page("GET /servers/{id}", mayRead, c.serverPage)
	page("GET /live/servers/{id}", mayRead, c.serverStream)
	page("GET /events", mayRead, c.eventsPage)
	page("GET /live/events", mayRead, c.eventsStream)
	page("GET /events/{id}", mayRead, c.eventPage)
	page("GET /live/events/{id}", mayRead, c.eventStream)
	page("GET /events/{id}/dump.txt", mayRead, c.dumpText)
	page("GET /dumps", mayRead, c.dumpsPage)
	page("GET /compare", mayRead, c.comparePage)
	page("GET /audit", mayRead, c.auditPage)
	page("POST /purge", mayPurge, c.purge)
	c.settingsRoutes(page)
	page("GET /act", mayAsk, c.actPage)
	page("POST /act", mayAsk, c.actPage)
	page("POST /act/publish", mayAsk, c.actPublish)
	c.apiRoutes(mux)
	mux.Handle("GET /static/", c.static())
	if c.cfg.Users != nil {
		mux.Handle("GET /login", c.anybody(c.loginPage))
		mux.Handle("POST /login", c.anybody(c.login))
		mux.Handle("POST /logout", c.anybody(c.logout))
	}
	page("/", mayRead, func(r *request) error {
		return &pageError{http.StatusNotFound, "there is no page " + r.URL.Path}
	})

	h := http.StripPrefix(c.cfg.Base, mux)
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		show := c.errorPage
		if strings.HasPrefix(r.URL.Path, c.cfg.Base+"/api/") {
			show = c.apiError
		}
		show(&request{r, w, User{}}, &pageError{http.StatusForbidden, "this request comes from a page of another site: nothing was done"})
	}))
	return c.secured(cross.Handler(h))
}

// secured sets the headers of every answer.
func (c *Console) secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// guarded lets those in who may do that; what fails is for failed to show.
func (c *Console) guarded(p permission, do handler, failed func(*request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, raw *http.Request) {
		r := &request{Request: raw, w: w}
		err := c.identify(r)
		if err == nil {
			err = c.check(r.user, p)
		}
		if err == nil {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			err = do(r)
		}
		if err == nil || r.Context().Err() != nil {
			return
		}
		if status := statusOf(err); status >= 500 {
			c.log.Warn().Err(err).Str("path", r.URL.Path).Int("status", status).Msg("console: a request failed")
		}
		failed(r, err)
	})
}

// maxBody bounds a request's body: a form that names a thousand servers, and a large
// setting.
const maxBody = 4 << 20

// redirect sends the browser to a path of the console.
func (c *Console) redirect(r *request, path string) error {
	http.Redirect(r.w, r.Request, c.cfg.Base+path, http.StatusSeeOther)
	return nil
}

// form parses the form.
func (r *request) form() error {
	if err := r.ParseForm(); err != nil {
		return &pageError{http.StatusBadRequest, fmt.Sprintf("the form cannot be read: %v", err)}
	}
	return nil
}

// list returns the values of a field, also those that are separated by commas or lines.
func list(values []string) (all []string) {
	for _, v := range values {
		for part := range strings.FieldsFuncSeq(v, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
			if part = strings.TrimSpace(part); part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}
