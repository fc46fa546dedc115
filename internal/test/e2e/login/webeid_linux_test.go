package login

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/test/citizen"
)

// webEIDPage says a message of web-eid.js at a click, waits as long as that for an acknowledgement, and
// for the end if there is one, and keeps what it heard: by action, the code, the format or the version.
const webEIDPage = hear + `
window.say = (message) => async () => {
	heard.length = 0;
	const began = performance.now();
	window.postMessage(message, "*");
	const is = (end) => heard.some((m) => m.action.endsWith(end));
	const waits = () => is("-success") || is("-failure") ? false : is("-ack") && !window.foreign || performance.now() - began < 1000;
	while (waits()) await new Promise((r) => setTimeout(r, 10));
	return Object.fromEntries(heard.filter((m) => m.action.includes("-")).map((m) => [m.action, m.error?.code ?? m.format ?? m.extension ?? ""]));
};
window.outcome = "";
`

// webEID is a page that knows nothing but the messages of web-eid.js, on a site that is allowed.
func webEID(t *testing.T, v *citizen.Visit) {
	say := func(message, want string) {
		t.Helper()
		v.Run(webEIDPage + "window.act = window.say(" + message + ")")
		v.Press("button")
		if strings.Contains(want, "authenticate-success") {
			v.TypePIN()
		}
		citizen.WantOutcome(t, v, want)
	}
	const (
		status       = `{ action: "web-eid:status", libraryVersion: "2.0.1" }`
		authenticate = `{ action: "web-eid:authenticate", libraryVersion: "2.0.1", challengeNonce: window.challenge, options: { lang: "it" } }`
	)
	v.Open(citizen.Site)
	say(status, `{"web-eid:status":"","web-eid:status-ack":"","web-eid:status-success":"2.0.0"}`)
	say(authenticate, `{"web-eid:authenticate":"","web-eid:authenticate-ack":"","web-eid:authenticate-success":"web-eid:1.0"}`)
	for _, action := range []string{"web-eid:get-signing-certificate", "web-eid:sign"} {
		say(`{ action: "`+action+`", libraryVersion: "2.0.1" }`,
			strings.ReplaceAll(`{"X":"","X-ack":"","X-failure":"ERR_WEBEID_NATIVE_INVALID_ARGUMENT"}`, "X", action))
	}

	// A page that waits no longer than so long; the question goes away with it.
	v.Run(webEIDPage + `window.act = window.say({ action: "web-eid:authenticate", libraryVersion: "2.0.1", challengeNonce: window.challenge, options: { userInteractionTimeout: 500 } })`)
	v.Press("button")
	citizen.WantOutcome(t, v, `{"web-eid:authenticate":"","web-eid:authenticate-ack":"","web-eid:authenticate-failure":"ERR_WEBEID_USER_TIMEOUT"}`)
	v.Serve.Next("code=gone")

	// On an old computer the program starts for longer than a page waits for an acknowledgement, and than
	// a click counts: a page asks for the login after the status, without another one.
	v.InstallHost(t, v.SlowHost(t, 6*time.Second))
	v.Open(citizen.Site)
	v.Run(webEIDPage + `window.act = async () => ({ ...await window.say(` + status + `)(), ...await window.say(` + authenticate + `)() })`)
	v.Press("button")
	v.TypePIN()
	citizen.WantOutcome(t, v, `{"web-eid:status":"","web-eid:status-ack":"","web-eid:status-success":"2.0.0",`+
		`"web-eid:authenticate":"","web-eid:authenticate-ack":"","web-eid:authenticate-success":"web-eid:1.0"}`)

	// Silent, and nobody is asked, where another extension acknowledges first, as its content script
	// would, at once or while the program starts; where it does after this one; where the page hears
	// too late; and on a site that is not allowed.
	seen := len(v.Serve.Stderr.String())
	hosts := v.CountHosts(t)
	another := func(afterMS int) {
		v.Run(fmt.Sprintf(`window.foreign = true;
			window.addEventListener("message", ({ data }) => { if (/^web-eid:[a-z]+$/.test(data?.action)) setTimeout(() => window.postMessage({ action: data.action + "-ack" }, "*"), %d); });`, afterMS))
	}
	slow := func(start time.Duration) {
		t.Helper()
		v.InstallHost(t, v.SlowHost(t, start))
		v.Open(citizen.Site)
	}
	later := func() {
		t.Helper()
		if heard := v.Run(`await new Promise((r) => setTimeout(r, 3000)); return String(heard.filter((m) => /-(success|failure)$/.test(m.action)).length)`); heard != "0" {
			t.Errorf("later the page hears %s ends", heard)
		}
	}
	another(0)
	say(authenticate, `{"web-eid:authenticate":"","web-eid:authenticate-ack":""}`)
	if n := hosts(); n != 0 {
		t.Errorf("beside another extension %d native hosts were started", n)
	}
	slow(300 * time.Millisecond)
	another(350)
	say(authenticate, `{"web-eid:authenticate":"","web-eid:authenticate-ack":""}`)
	slow(2 * time.Second)
	another(900)
	say(authenticate, `{"web-eid:authenticate":"","web-eid:authenticate-ack":""}`)
	later()
	v.Command(t, "sites", "forget", citizen.OtherSite)
	v.Open(citizen.OtherSite)
	for _, action := range []string{"status", "authenticate"} {
		say(`{ action: "web-eid:`+action+`", libraryVersion: "2.0.1", challengeNonce: window.challenge }`,
			strings.ReplaceAll(`{"X":"","X-ack":"","X-failure":"ERR_WEBEID_NATIVE_UNAVAILABLE"}`, "X", "web-eid:"+action))
	}
	v.InstallHost(t, v.HostProgram(t))
	v.Open(citizen.OtherSite)
	say(status, `{"web-eid:status":""}`)
	say(authenticate, `{"web-eid:authenticate":""}`)
	if said := v.Serve.Stderr.String()[seen:]; strings.Contains(said, citizen.SiteAsked) || strings.Contains(said, citizen.PinAsked) {
		t.Errorf("the citizen is asked: %s", said)
	}
}
