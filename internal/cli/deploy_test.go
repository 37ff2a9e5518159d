package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// parsed runs the parser of the command line, and returns the flags.
func parsed(t *testing.T, words []string) *pflag.FlagSet {
	t.Helper()
	root := (&app{}).rootCommand()
	cmd, rest, err := root.Find(words)
	require.NoError(t, err, words)
	require.NotEqual(t, root, cmd, "there is no command in %v", words)
	cmd.InitDefaultHelpFlag()
	require.NoError(t, cmd.ParseFlags(rest), words)
	return cmd.Flags()
}

// TestUnitsOfSystemd: their command lines are right, and they wait for the work.
func TestUnitsOfSystemd(t *testing.T) {
	for _, name := range []string{"fleetcast-server", "fleetcast-console"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", name+".service"))
		require.NoError(t, err)
		line := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/fleetcast (.*)$`).FindSubmatch(text)
		require.NotNil(t, line)
		flags := parsed(t, strings.Fields(strings.Split(string(line[1]), " -- ")[0]))
		if name == "fleetcast-console" {
			for _, credential := range regexp.MustCompile(`%d/(\S+)`).FindAllSubmatch(line[1], -1) {
				require.Contains(t, string(text), "LoadCredential="+string(credential[1])+":")
			}
			continue
		}
		stop, err := strconv.Atoi(string(regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindSubmatch(text)[1]))
		require.NoError(t, err)
		requireTime(t, flags, time.Duration(stop)*time.Second)
		require.Contains(t, string(text), "RestartPreventExitStatus="+strconv.Itoa(exitKilled))
	}
}

// requireTime: whoever stops a server waits for its work, for that to heed its cancelled
// context, and for its last words.
func requireTime(t *testing.T, flags *pflag.FlagSet, wait time.Duration) {
	t.Helper()
	work, err := flags.GetDuration("shutdown-timeout")
	require.NoError(t, err)
	require.GreaterOrEqual(t, wait, work+10*time.Second)
}

func TestManifestsOfKubernetes(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "kubernetes.yaml"))
	require.NoError(t, err)
	documents, seen := yaml.NewDecoder(bytes.NewReader(text)), 0
	for {
		var doc struct {
			Kind string
			Spec struct {
				Template struct {
					Spec struct {
						Grace      int `yaml:"terminationGracePeriodSeconds"`
						Containers []struct {
							Args  []string
							Ports []struct {
								Name string
								Port int `yaml:"containerPort"`
							}
							Ready struct {
								Get struct{ Path, Port string } `yaml:"httpGet"`
							} `yaml:"readinessProbe"`
							Live struct {
								Get struct{ Path, Port string } `yaml:"httpGet"`
							} `yaml:"livenessProbe"`
						}
					}
				}
			}
		}
		if err := documents.Decode(&doc); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		for _, c := range doc.Spec.Template.Spec.Containers {
			seen++
			flags := parsed(t, c.Args)
			address := "metrics-addr"
			if c.Args[0] == "console" {
				address = "console-addr"
			} else {
				requireTime(t, flags, time.Duration(doc.Spec.Template.Spec.Grace)*time.Second)
				require.Equal(t, [2]string{"/readyz", "/healthz"}, [2]string{c.Ready.Get.Path, c.Live.Get.Path})
			}
			value, err := flags.GetString(address)
			require.NoError(t, err)
			require.Equal(t, "0.0.0.0:"+strconv.Itoa(c.Ports[0].Port), value)
			require.Equal(t, c.Ports[0].Name, c.Ready.Get.Port)
		}
	}
	require.Equal(t, 2, seen)
}

// TestDocumentedCommandLines: what the documentation calls is there, with these flags.
func TestDocumentedCommandLines(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	checked := 0
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, span := range code.FindAllStringSubmatch(string(text), -1) {
			ours, ok := strings.CutPrefix(span[1], "fleetcast ")
			if !ok || strings.ContainsAny(ours, "\n\\") { // of a key's derivation
				continue
			}
			root := (&app{}).rootCommand()
			words := strings.Fields(strings.Split(ours, " -- ")[0])
			cmd, _, err := root.Find(words)
			require.NoError(t, err, "%s: %s", file, ours)
			if words[0] == "…" || words[0] == "completion" {
				continue
			}
			require.NotEqual(t, root, cmd, "%s: there is no command %q", file, ours)
			if cmd.Name() == "exec" { // what follows is of the command that it runs
				words = nil
			}
			for _, word := range words {
				require.True(t, hasFlag(cmd, strings.Trim(word, "[]")), "%s: %s has no flag %s", file, cmd.CommandPath(), word)
			}
			checked++
		}
	}
	require.Greater(t, checked, 60)
}
