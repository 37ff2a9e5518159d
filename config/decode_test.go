package config_test

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fleetcast/fleetcast/config"
)

type base struct {
	Timeout time.Duration `config:"timeout"`
}

type mail struct {
	base  `config:",squash"`
	Host  string         `config:"host" validate:"required"`
	Port  int            `config:"port" validate:"min=1,max=65535"`
	From  []string       `config:"from"`
	Match *regexp.Regexp `config:"match"`
	TLS   *struct {
		Verify bool   `config:"verify"`
		Name   string `config:"name"`
	} `config:"tls"`
	Limits   map[string]int    `config:"limits"`
	Headers  map[string]string `config:"headers"`
	Quota    *int              `config:"quota"`
	Anything any               `config:"anything"`
	Secret   struct {
		Password string `config:"password" validate:"min=4"`
		PIN      int    `config:"pin"`
	} `config:"secret"`
	Plain string
	Not   string `config:"-"`
}

const mailFile = `app:
  mail:
    host: smtp.example.com
    from: a@example.com, b@example.com
    timeout: 90
    match: ^x
    tls: {verify: yes, name: n}
    limits: {a: 1, b: "2"}
    headers: '{"X-A": "1"}'
    anything: [1, x]
    plain: simple
    secret: {password: hush}
`

func TestDecode(t *testing.T) {
	s := open(t, config.Config{
		Keys: &config.Keys{}, File: write(t, mailFile),
		Environ: []string{"APP_MAIL_SECRET_PIN=1234", "APP_MAIL_QUOTA=5", "APP_MAIL_HOST=smtp2"},
	})
	m := mail{Port: 25, Not: "touched", Headers: map[string]string{"X-B": "2"}}
	require.NoError(t, s.Decode("app/mail", &m))
	require.Equal(t, "smtp2", m.Host)
	require.Equal(t, 25, m.Port, "the default")
	require.Equal(t, []string{"a@example.com", "b@example.com"}, m.From)
	require.Equal(t, 90*time.Second, m.Timeout)
	require.True(t, m.Match.MatchString("xy"))
	require.True(t, m.TLS.Verify)
	require.Equal(t, map[string]int{"a": 1, "b": 2}, m.Limits)
	require.Equal(t, map[string]string{"X-A": "1"}, m.Headers)
	require.Equal(t, 5, *m.Quota)
	require.Equal(t, []any{int64(1), "x"}, m.Anything)
	require.Equal(t, "hush", m.Secret.Password)
	require.Equal(t, 1234, m.Secret.PIN)
	require.Equal(t, "simple", m.Plain)
	require.Equal(t, "touched", m.Not)

	var whole struct {
		App struct {
			Mail mail `config:"mail"`
		} `config:"app"`
	}
	whole.App.Mail.Port = 25
	require.NoError(t, s.Decode("", &whole))
	require.Equal(t, m.Secret, whole.App.Mail.Secret)
	require.ErrorContains(t, s.Decode("app/mail", m), "wants a pointer to a struct, not config_test.mail")
}

func TestDecodeTellsAllFaults(t *testing.T) {
	file := write(t, `app:
  mail:
    hots: x
    port: many
    timeout: soon
    limits: {a: x}
    tls: {verify: {not: so}}
    secret: {pin: hush}
`)
	s := open(t, config.Config{Keys: &config.Keys{}, File: file})
	m := mail{Host: "as it was", Limits: map[string]int{"z": 1}}
	err := s.Decode("app/mail", &m)
	require.Equal(t, mail{Host: "as it was", Limits: map[string]int{"z": 1}}, m)
	faults, ok := errors.AsType[*config.FaultsError](err)
	require.True(t, ok, "%v", err)
	var texts []string
	for _, f := range faults.Faults {
		texts = append(texts, f.Error())
	}
	at := func(line string) string { return "(file " + file + ":" + line + ")" }
	require.ElementsMatch(t, []string{
		"app/mail/port " + at("4") + ` is "many": expected an integer`,
		"app/mail/timeout " + at("5") + ` is "soon": expected a duration such as 1m30s, or a number of seconds`,
		"app/mail/limits/a " + at("6") + ` is "x": expected an integer`,
		"app/mail/tls/verify: one value is expected here, but there are settings below it",
		"app/mail/secret/pin " + at("8") + " is ****: expected an integer",
		"app/mail/hots " + at("3") + ` is unknown; did you mean "app/mail/host"?`,
	}, texts)

	s = open(t, config.Config{Keys: &config.Keys{}, File: write(t, "app: {mail: {port: 70000, secret: {password: abc}}}")})
	err = s.Decode("app/mail", &m)
	require.ErrorAs(t, err, &faults)
	require.Len(t, faults.Faults, 2)
	require.ErrorContains(t, err, "is 70000: expected at most 65535")
	require.ErrorContains(t, err, "is ****: expected at least 4")
	err = open(t, config.Config{Keys: &config.Keys{}}).Decode("app/mail", &mail{Port: 1})
	require.ErrorContains(t, err, "app/mail/host is not set: expected a value not empty")
}
