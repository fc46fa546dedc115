package extension

import (
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs/internal/test/citizen"
)

// What a page or a frame can do to the extension, in real browsers: nothing that the citizen is asked
// about, nothing that the next login notices.

func TestT06Chromium(t *testing.T) {
	v := citizen.NewVisit(t, citizen.Chromium, true)
	hostile(t, v)
}

func TestT06Firefox(t *testing.T) {
	v := citizen.NewVisit(t, citizen.Firefox, true)
	hostile(t, v)
}

// talk is how the scripts below speak with the extension, as crs.js does, in a frame or in the page.
// What they hear is a code, a text of the program, or what the extension did.
const talk = `
const pause = (ms) => new Promise((r) => setTimeout(r, ms));
const talk = (w) => {
	const heard = [];
	w.addEventListener("message", ({ data }) => { if (data?.from === "crs-extension") heard.push(data.code ?? data.text ?? data.action); });
	const post = new w.Function("m", "window.postMessage(m, location.origin)");
	const tell = (action, text) => post({ to: "crs-extension", channel: "z", action, text });
	const next = async () => { while (!heard.length) await pause(5); return heard.shift(); };
	const ask = (text) => (tell("send", text), next());
	const open = () => (tell("open"), next());
	return { heard, post, tell, next, ask, open };
};
const { heard, post, tell, next, ask, open } = talk(window);
const hello = (id, more) => JSON.stringify({ jsonrpc: "2.0", id, method: "hello", params: { client: "x", protocol: 1 }, ...more });
const each = async (texts) => { // a connection for every one, as most end theirs
	const all = new Set();
	for (const text of texts) {
		all.add(await open());
		all.add(await ask(text));
		tell("close");
	}
	return [...all].join();
};
`

// sixFrames are of the page's own origin, and there before the click, which counts for them too.
const sixFrames = `
window.framed = await Promise.all(Array.from({ length: 6 }, () => new Promise((resolve) => {
	const frame = document.createElement("iframe");
	frame.src = "/";
	frame.onload = () => resolve(frame.contentWindow);
	document.body.append(frame);
})));`

// forgeries are scripts of a page, and what they come to hear.
var forgeries = []struct{ name, script, want string }{
	{"open before it is", `
		tell("open");
		post({ from: "crs-extension", channel: "z", action: "open" });
		tell("send", hello(1));
		return [await next(), await next()].join()`, "open,invalid_request"},
	{"open once more", `
		await open();
		tell("open");
		return ask(hello(1))`, `{"jsonrpc":"2.0","id":1,"result":{"protocol":1}}`},
	{"the same id twice", `
		await open();
		return [await ask(hello(1)), await ask(hello(1))].join()`,
		`{"jsonrpc":"2.0","id":1,"result":{"protocol":1}},{"jsonrpc":"2.0","id":1,"result":{"protocol":1}}`},
	{"the id of the extension's own request", `
		await open();
		return ask(hello(0))`, `{"jsonrpc":"2.0","id":0,"result":{"protocol":1}}`},
	{"ids that are none", `
		await open();
		const codes = new Set();
		for (const id of [null, undefined, 1.5, 1e300, true, [1], {}, "x".repeat(65)]) {
			const { id: of, error } = JSON.parse(await ask(hello(id)));
			codes.add(of + " " + error.data.code);
		}
		return [...codes].join()`, "null invalid_request"},
	{"other methods", `
		return each(["connect", "sign", "Hello", "web-eid:sign", "", null, 7, {}, ["hello"]].map((method) => hello(1, { method })))`,
		"open,invalid_request"},
	{"connect in the name of another", `
		return each([hello(0, { method: "connect", params: { origin: "https://altrove.example:8443", topOrigin: "https://altrove.example:8443" } })])`,
		"open,invalid_request"},
	{"no text", `
		return each([undefined, null, 7, { method: "hello" }, ["hello"], new TextEncoder().encode(hello(1)), new Blob([hello(1)])])`, "open,invalid_request"},
	{"no JSON", `
		return each(["", "{", "\0", "hello", "[]", "null", '"hello"', hello(1) + hello(2), "\ufeff" + hello(1), "[".repeat(60000)])`,
		"open,invalid_request"},
	{"too long", `
		return each(["x".repeat(2 << 20), hello("è".repeat(40 << 10)), hello("x".repeat(64 << 10))])`, "open,invalid_request"},
	{"names of every object", `
		const of = (name) => hello(1).replace("{", '{"' + name + '":{"method":"hello","x":1},');
		const all = [];
		await open();
		for (const name of ["__proto__", "constructor", "toString", "toJSON", "hasOwnProperty"]) all.push(JSON.parse(await ask(of(name))).error.data.code);
		tell("close");
		all.push(await each(['{"__proto__":{"jsonrpc":"2.0","id":1,"method":"hello"}}', '{"constructor":{"prototype":{"method":"hello"}}}']));
		all.push(String({}.method), String({}.x));
		return [...new Set(all)].join()`, "invalid_request,open,invalid_request,undefined"},
	// The extension reads the last of two, as browsers do, and passes on what it read.
	{"names that occur twice", `
		const twice = (a, b) => '{"jsonrpc":"2.0","id":1,"method":"' + a + '","method":"' + b + '","params":{"client":"x","protocol":2,"protocol":1}}';
		await open();
		return [await ask(twice("connect", "hello")), await ask(twice("hello", "connect"))].join()`,
		`{"jsonrpc":"2.0","id":1,"result":{"protocol":1}},invalid_request`},
	{"nested deeply", `
		await open();
		const deep = hello(1).replace('"x"', '{"a":'.repeat(9000) + "1" + "}".repeat(9000));
		const answer = await ask(deep);
		return answer.startsWith("{") ? JSON.parse(answer).error.data.code : answer`, "invalid_request"},
	{"1000 messages", `
		await open();
		for (let i = 1; i <= 1000; i++) tell("send", hello(i));
		let answers = 0;
		while ((await next()).startsWith("{")) answers++;
		await pause(100);
		return answers <= 100 && heard.length === 0 ? "ended" : answers + " answers, then " + heard`, "ended"},
	{"1000 openings on other channels", `
		await open();
		for (let i = 0; i < 1000; i++) post({ to: "crs-extension", channel: "z" + i, action: "open" });
		const all = new Set();
		for (let i = 0; i < 1000; i++) all.add(await next());
		return [...all].join() + " " + await ask(hello(1))`, `busy {"jsonrpc":"2.0","id":1,"result":{"protocol":1}}`},
	{"channels that are none", `
		for (const channel of [undefined, null, 7, {}, ["z"], "z".repeat(65)]) post({ to: "crs-extension", channel, action: "open" });
		for (const m of [null, "crs-extension", 7, [], { to: ["crs-extension"] }, { to: "crs-extension", channel: "z", action: "__proto__" }]) post(m);
		await pause(200);
		return heard.join() || "nothing"`, "nothing"},
	// Windows other than the page are not heard, not even those of its own origin.
	{"a frame that speaks to the page", `
		window.addEventListener("message", ({ data }) => { if (data === "said") window.said = (window.said ?? 0) + 1; });
		window.addEventListener("message", ({ data }) => { if (data?.action?.endsWith("-ack")) heard.push(data.action); });
		const say = "<script>parent.postMessage({ action: 'web-eid:status', libraryVersion: '2.0.1' }, '*'); for (const action of ['find', 'open', 'send', 'close']) parent.postMessage({ to: 'crs-extension', channel: 'z', action, text: '{}' }, '*'); parent.postMessage('said', '*')<\/script>";
		const foreign = document.createElement("iframe"), own = document.createElement("iframe");
		foreign.src = "data:text/html," + encodeURIComponent(say);
		own.srcdoc = say;
		document.body.append(foreign, own);
		while (window.said !== 2) await pause(5);
		await pause(500);
		const before = heard.join() || "nothing";
		return before + " " + await open() + " " + await ask(hello(1))`, `nothing open {"jsonrpc":"2.0","id":1,"result":{"protocol":1}}`},
}

func hostile(t *testing.T, v *citizen.Visit) {
	v.Command(t, "sites", "allow", citizen.Site)
	hosts := v.CountHosts(t)
	// A tab has thirty openings in ten seconds, which others do not notice.
	rash := v.NewTab()
	wantForged(t, rash, `
		for (let i = 0; i < 60; i++) {
			tell("open");
			await pause(5);
			tell("close"); // perhaps before it was answered
		}
		return open()`, "busy")
	opened := time.Now()
	if n := hosts(); n > 30 {
		t.Errorf("%d native hosts were started", n)
	}
	for _, forgery := range forgeries {
		t.Run(forgery.name, func(t *testing.T) {
			w := v.NewTab()
			defer w.Close()
			wantForged(t, w, forgery.script, forgery.want)
			w.LogsInAt(t, citizen.Site)
		})
	}
	t.Run("Web eID without a click", func(t *testing.T) {
		w := v.NewTab()
		defer w.Close()
		w.Open(citizen.Site)
		if heard := w.Run(`const heard = [];
			addEventListener("message", ({ data }) => heard.push(data.action));
			window.postMessage({ action: "web-eid:status", libraryVersion: "2.0.1" }, location.origin);
			await new Promise((r) => setTimeout(r, 500));
			return heard.join()`); heard != "web-eid:status" {
			t.Errorf("the page hears %s", heard)
		}
	})
	t.Run("six frames that ask at once", func(t *testing.T) {
		w := v.NewTab()
		defer w.Close()
		before := hosts()
		wantForged(t, w, `
			const frames = window.framed.map(talk);
			const first = await Promise.all(frames.map((f) => f.open()));
			for (const f of frames) f.tell("close");
			await pause(200);
			return first.sort() + " " + await open()`, "busy,busy,open,open,open,open open")
		if n := hosts() - before; n != 5 {
			t.Errorf("%d native hosts were started", n)
		}
		w.LogsInAt(t, citizen.Site)
	})
	t.Run("during a login of Web eID", func(t *testing.T) {
		w := v.NewTab()
		defer w.Close()
		w.Open(citizen.Site)
		w.Run("window.act = async () => {" + talk + `
			const logIn = () => post({ action: "web-eid:authenticate", libraryVersion: "2.0.1", challengeNonce: challenge, options: { lang: "it" } });
			const answers = [];
			addEventListener("message", ({ data }) => { if (/-(success|failure)$/.test(data?.action)) answers.push(data.format ?? data.error.code); });
			logIn();
			while (!window.more) await pause(10);
			logIn(); // once more
			for (const action of ["send", "close"]) post({ to: "crs-extension", channel: "web-eid:authenticate", action, text: "{}" });
			await pause(500); // for it to be taken up
			window.more = "done";
			while (!answers.length) await pause(10);
			return answers.join()}`)
		w.Press("button")
		v.Serve.Next(citizen.PinAsked)
		seen := len(v.Serve.Stderr.String())
		w.Run(`window.more = "go"; while (window.more !== "done") await new Promise((r) => setTimeout(r, 10))`)
		if said := v.Serve.Stderr.String()[seen:]; strings.TrimSpace(said) != "" {
			t.Errorf("the service says %s", said)
		}
		v.Serve.Answer(citizen.PIN)
		citizen.WantOutcome(t, w, "web-eid:1.0")
		w.LogsInAt(t, citizen.Site)
	})
	time.Sleep(time.Until(opened.Add(11 * time.Second)))
	rash.LogsInAt(t, citizen.Site)
}

// wantForged has a script of the page run at a click, and checks what comes of it: nothing that the
// citizen sees, no matter what the page hears.
func wantForged(t *testing.T, v *citizen.Visit, script, want string) {
	t.Helper()
	v.Open(citizen.Site)
	sent, seen := v.Card.Secrets(), len(v.Serve.Stderr.String())
	if strings.Contains(script, "framed") {
		v.Run(sixFrames)
	}
	v.Run("window.act = async () => {" + talk + script + "}")
	v.Press("button")
	citizen.WantOutcome(t, v, want)
	if said := v.Serve.Stderr.String()[seen:]; strings.Contains(said, citizen.SiteAsked) || strings.Contains(said, citizen.PinAsked) {
		t.Errorf("the citizen is asked: %s", said)
	}
	if n := v.Card.Secrets() - sent; n != 0 {
		t.Errorf("%d PINs were sent", n)
	}
}
