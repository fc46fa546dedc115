package login

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/test/citizen"
)

// With the extension no browser asks anything, ever, and no policy of a page is in the way.

// Where the extension finds no program the page tries a socket: nobody is what comes of that.
func withExtension(t *testing.T, v *citizen.Visit, nobody string) {
	world := t
	t.Run("strict CSP", func(t *testing.T) { v.LogsInAt(t, citizen.Site+"/csp") })
	t.Run("Permissions-Policy", func(t *testing.T) { v.LogsInAt(t, citizen.Site+"/policy") })
	t.Run("TestT05ForeignFrame", func(t *testing.T) {
		framed := citizen.OtherSite + "/?frame=" + citizen.Site
		// The page around a known site is not known: nobody is asked, whatever it lets the frame do.
		for _, allow := range []string{"", "&with=allow=loopback-network"} {
			seen := len(v.Serve.Stderr.String())
			v.Open(framed + allow)
			v.PressInFrame()
			citizen.WantOutcome(t, v, "insecure_context")
			if said := v.Serve.Stderr.String()[seen:]; strings.Contains(said, citizen.SiteAsked) || strings.Contains(said, citizen.PinAsked) {
				t.Errorf("%q: the citizen is asked: %s", allow, said)
			}
		}
		// It is known: both are named, and the frame's site logs in.
		v.Command(t, "sites", "allow", citizen.OtherSite)
		seen := len(v.Serve.Stderr.String())
		v.Open(framed)
		v.PressInFrame()
		v.TypePIN()
		citizen.WantOutcome(t, v, "token")
		said := v.Serve.Stderr.String()[seen:]
		for _, host := range []string{"portale.example:8443", "altrove.example:8443"} {
			if !strings.Contains(said, host) {
				t.Errorf("the question for the PIN does not name %s: %s", host, said)
			}
		}
	})
	t.Run("without a click", func(t *testing.T) {
		v.Open(citizen.Site)
		heard := v.Run(hear + `window.postMessage({ to: "crs-extension", channel: "x", action: "find" }, location.origin);
			window.postMessage({ to: "crs-extension", channel: "x", action: "open" }, location.origin);
			await new Promise((r) => setTimeout(r, 300)); return JSON.stringify(heard)`)
		if heard != `[{"from":"crs-extension","channel":"x","action":"closed","code":"bridge_unavailable"}]` {
			t.Errorf("without a click the page hears %s", heard)
		}
	})
	t.Run("slow start", func(t *testing.T) {
		v.InstallHost(world, v.SlowHost(t, 6*time.Second))
		v.LogsInAt(t, citizen.Site+"/csp") // where a socket cannot be
		v.InstallHost(world, v.HostProgram(world))
	})
	t.Run("Web eID", func(t *testing.T) { webEID(t, v) })
	v.InstallHost(t, v.HostProgram(t)) // that test had others
	v.Tab = v.New(true)                // a tab may not start so many programs in so short a time
	t.Run("service not running", func(t *testing.T) {
		v.Serve.Stop(syscall.SIGTERM)
		// The native host starts a service, which has no screen here to ask anybody on.
		v.WantAt(t, citizen.Site, "internal")
	})
	for name, host := range map[string]struct{ script, want string }{
		"host missing":    {"", nobody},
		"host crashes":    {"exit 1", nobody},
		"host says words": {"echo Good day; sleep 5", nobody},
		"host too old":    {citizen.RefusingHost("unsupported_version"), "unsupported_version"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "host")
			if host.script != "" {
				citizen.WriteFile(t, file, "#!/bin/sh\n"+host.script+"\n", 0o755)
			}
			v.InstallHost(t, file)
			v.WantAt(t, citizen.Site, host.want)
		})
	}
}

// hear collects what a page hears from others than itself.
const hear = `window.heard ??= (window.addEventListener("message", ({ data }) => { if (data?.from === "crs-extension" || data?.action?.startsWith("web-eid:")) window.heard.push(data); }), []);
`
