package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	sessionCookie = "fleetcast_session"
	sessionIdle   = 12 * time.Hour // after this long without a request it is over
	sessionLife   = 7 * 24 * time.Hour
	// Attempts to log in: this many at once, then one in so much time; for each user's
	// name and for each address.
	loginBurst = 5
	loginEvery = 6 * time.Second
)

// sessions are those who have logged in; they are gone with the process.
type sessions struct {
	mu       sync.Mutex
	byToken  map[string]session
	limiters map[string]*limiter
	known    map[[sha256.Size]byte]session // of basic authentication, by name and password
	key      []byte                        // of these
}

type session struct {
	user        User
	begun, used time.Time
}

type limiter struct {
	rate *rate.Limiter
	used time.Time
}

func newSessions() *sessions {
	return &sessions{
		byToken: map[string]session{}, limiters: map[string]*limiter{},
		known: map[[sha256.Size]byte]session{}, key: []byte(rand.Text()),
	}
}

// knownFor is how long a name and a password are known to be right: scripts send them
// with each request, and to compare a hash takes long on purpose.
const knownFor = 5 * time.Minute

// sum is what is kept of a name and a password.
func (s *sessions) sum(name, password string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, s.key)
	_, _ = mac.Write([]byte(name + ":" + password)) // names have no colon
	mac.Sum(sum[:0])
	return sum
}

// recall returns the user of a name and a password that were right lately.
func (s *sessions) recall(sum [sha256.Size]byte) (User, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.known[sum]
	return one.user, ok && time.Since(one.begun) < knownFor
}

// remember notes that a name and a password were right; attempts for the name count anew.
func (s *sessions) remember(u User, sum [sha256.Size]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(s.known, func(_ [sha256.Size]byte, one session) bool { return now.Sub(one.begun) >= knownFor })
	s.known[sum] = session{u, now, now}
	delete(s.limiters, "user "+u.Name)
}

// begin returns the token of a new session.
func (s *sessions) begin(u User) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for token, one := range s.byToken {
		if one.over(now) {
			delete(s.byToken, token)
		}
	}
	token := rand.Text()
	s.byToken[token] = session{u, now, now}
	return token
}

func (s session) over(now time.Time) bool {
	return now.Sub(s.used) > sessionIdle || now.Sub(s.begun) > sessionLife
}

func (s *sessions) find(token string) (User, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.byToken[token]
	now := time.Now()
	if !ok || one.over(now) {
		delete(s.byToken, token)
		return User{}, false
	}
	one.used = now
	s.byToken[token] = one
	return one.user, true
}

func (s *sessions) end(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byToken, token)
}

// allow reports whether another attempt to log in may be made.
func (s *sessions) allow(keys ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if len(s.limiters) > 10_000 { // those that have been full again for long
		for key, l := range s.limiters {
			if now.Sub(l.used) > loginBurst*loginEvery {
				delete(s.limiters, key)
			}
		}
	}
	allowed := true
	for _, key := range keys {
		l := s.limiters[key]
		if l == nil {
			l = &limiter{rate: rate.NewLimiter(rate.Every(loginEvery), loginBurst)}
			s.limiters[key] = l
		}
		l.used = now
		allowed = l.rate.Allow() && allowed
	}
	return allowed
}

// loggedIn finds the user of a session, or of a request with basic authentication, as
// scripts make it.
func (c *Console) loggedIn(r *request) error {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		if u, ok := c.sessions.find(cookie.Value); ok {
			r.user = u
			return nil
		}
	}
	name, password, basic := r.BasicAuth()
	if !basic {
		return &pageError{http.StatusUnauthorized, "log in first"}
	}
	u, err := c.authenticate(r.Request, name, password)
	r.user = u
	return err
}

// authenticate checks a password, not too often.
func (c *Console) authenticate(r *http.Request, name, password string) (User, error) {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	sum := c.sessions.sum(name, password)
	if u, ok := c.sessions.recall(sum); ok {
		return u, nil
	}
	if !c.sessions.allow("user "+name, "address "+address) {
		return User{}, &pageError{http.StatusTooManyRequests, "too many attempts to log in: wait a minute"}
	}
	u, ok := c.cfg.Users.login(name, password)
	if !ok {
		c.log.Warn().Str("user", name).Str("address", address).Msg("console: a login was refused")
		return User{}, &pageError{http.StatusUnauthorized, "no such user, or another password"}
	}
	c.sessions.remember(u, sum)
	return u, nil
}

// loginView is the page of the login.
type loginView struct{ Name, To, Fault string }

func (c *Console) loginPage(r *request) error {
	return c.show(r, "login", c.page(r, "Log in", "", loginView{To: backTo(r.URL.Query().Get("to"))}))
}

func (c *Console) login(r *request) error {
	if err := r.form(); err != nil {
		return err
	}
	v := loginView{Name: strings.TrimSpace(r.PostForm.Get("name")), To: backTo(r.PostForm.Get("to"))}
	u, err := c.authenticate(r.Request, v.Name, r.PostForm.Get("password"))
	if err != nil {
		v.Fault = err.Error()
		return c.showAs(r, statusOf(err), "login", c.page(r, "Log in", "", v))
	}
	c.log.Info().Str("user", u.Name).Msg("console: logged in")
	c.setCookie(r, c.sessions.begin(u), int(sessionLife.Seconds()))
	return c.redirect(r, v.To)
}

func (c *Console) logout(r *request) error {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		c.sessions.end(cookie.Value)
	}
	c.setCookie(r, "", -1)
	return c.redirect(r, "/login")
}

func (c *Console) setCookie(r *request, token string, age int) {
	http.SetCookie(r.w, &http.Cookie{
		Name: sessionCookie, Value: token, Path: c.cfg.Base + "/", MaxAge: age,
		HttpOnly: true, Secure: r.TLS != nil || c.cfg.SecureCookies, SameSite: http.SameSiteStrictMode,
	})
}

// backTo is a path of this console, and of no other site.
func backTo(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.Contains(path, `\`) || strings.HasPrefix(path, "/log") {
		return "/"
	}
	return path
}

// anybody serves those who have not logged in.
func (c *Console) anybody(do handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, raw *http.Request) {
		r := &request{Request: raw, w: w}
		r.Body = http.MaxBytesReader(w, r.Body, 1<<16)
		if err := do(r); err != nil {
			c.errorPage(r, err)
		}
	})
}
