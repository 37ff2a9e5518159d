package integration

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// certificate writes a self-signed one for 127.0.0.1, and returns the files and the pool
// that trusts it.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "console"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return file
	}
	cert, key = write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER)
	pool = x509.NewCertPool()
	text, err := os.ReadFile(cert)
	require.NoError(t, err)
	require.True(t, pool.AppendCertsFromPEM(text))
	return cert, key, pool
}

// TestConsoleWithUsersAndTLS is the console as it is reached from other machines.
func TestConsoleWithUsersAndTLS(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.server("a")
	hash := e.runWithInput("correct horse\n", "console", "hash-password")
	users := filepath.Join(t.TempDir(), "users.yaml")
	require.NoError(t, os.WriteFile(users, []byte("users:\n  - {name: otto, role: operator, password: '"+strings.TrimSpace(hash)+"'}\n"), 0o600))
	cert, key, pool := certificate(t)

	console := e.start("console", "--console-addr", "127.0.0.1:0", "--users", users, "--tls-cert", cert, "--tls-key", key, "--no-color")
	url, err := console.line(patience)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(url, "https://127.0.0.1:"), url)

	client := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	ask := func(method, path, body string, login bool) (int, string) {
		r, err := http.NewRequest(method, url+path, strings.NewReader(body))
		require.NoError(t, err)
		if login {
			r.SetBasicAuth("otto", "correct horse")
		}
		res, err := client.Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, string(text)
	}
	status, _ := ask("GET", "", "", false)
	require.Equal(t, http.StatusSeeOther, status)
	status, page := ask("GET", "", "", true)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, ">a</a>")
	status, answer := ask("POST", "api/v1/events", `{"subscriber": "server", "action": "pause", "wait": "20s"}`, true)
	require.Equal(t, http.StatusOK, status, answer)
	var call struct{ Done int }
	require.NoError(t, json.Unmarshal([]byte(answer), &call))
	require.Equal(t, 1, call.Done)
	require.True(t, e.servers()["a"].Paused)
	require.Contains(t, e.run("audit", "--user", "otto").stdout, "server pause")
	require.Zero(t, console.end(syscall.SIGTERM), console.stderr)
}

func TestConsoleUsage(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"serves this machine alone": {"--console-addr", "0.0.0.0:0"},
		"no such file":              {"--users", "/nowhere.yaml"},
		"tls-cert tls-key":          {"--tls-cert", "x"},
		"users proxy-user-header":   {"--users", "x", "--proxy-user-header", "y"},
		"needs --proxy-user-header": {"--proxy-role-header", "y"},
		`"boss" is no role`:         {"--proxy-user-header", "x", "--proxy-role", "boss"},
		"write it as 10.0.0.0/24":   {"--proxy-user-header", "x", "--trusted-proxy", "here"},
	} {
		p, err := launch("mongodb://127.0.0.1:1/x", append([]string{"console"}, args...)...)
		require.NoError(t, err)
		r := p.result(t, args)
		require.Equal(t, 2, r.code, "%v: %s", args, r.stderr)
		require.Contains(t, r.stderr, want, args)
	}
}

// TestDevHasAConsole follows the address that dev prints.
func TestDevHasAConsole(t *testing.T) {
	t.Parallel()
	e := &env{t: t}
	dev := e.start("dev", "--store-addr", "127.0.0.1:0", "--console-addr", "127.0.0.1:0", "--no-color")
	e.awaitText("dev to be up", dev.stdout, "The console: http://127.0.0.1:")
	_, rest, _ := strings.Cut(dev.stdout.String(), "The console: ")
	url, _, _ := strings.Cut(rest, "\n")
	res, err := http.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Contains(t, string(text), ">dev-3</a>")
	require.Zero(t, dev.end(syscall.SIGTERM), dev.stderr)
}

// runWithInput runs a command that reads standard input, and returns what it prints.
func (e *env) runWithInput(input string, args ...string) string {
	e.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(e.t, cmd.Run(), errs.String())
	return out.String()
}
