package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/catalog"
	"github.com/crs-bridge/crs/internal/test/browsers"
	"github.com/crs-bridge/crs/internal/test/citizen"
	"github.com/crs-bridge/crs/internal/virtualcard"
)

// instant is a crs whose only command is a service in which a login takes no time but its own: its
// card has signed already, and its citizen answers at once.
const instant = "crs-instant"

func serveInstantly() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log, err := newLog("info")
	if err != nil {
		panic(err)
	}
	d, err := newDemonstration(ctx, &atOnce{}, log, 0)
	if err != nil {
		panic(err)
	}
	log.Info("ready")
	d.bridge.Cards = oneCard{&signedCard{Card: d.card}}
	d.bridge.Log = nil
	var parts sync.WaitGroup
	if err := serveBrowsers(ctx, &parts, d.bridge.ServeNative, log); err != nil {
		panic(err)
	}
	d.bridge.Serve(ctx, d.listener)
	parts.Wait()
}

// atOnce says yes and types the PIN.
type atOnce struct{ scriptedUser }

func (*atOnce) Ask(_ context.Context, t catalog.Text) (bool, error) {
	return t.Kind == catalog.KindAllow, nil
}

func (*atOnce) AskPIN(context.Context, catalog.Text) (*crs.PIN, error) {
	return crs.NewPIN([]byte(virtualcard.DefaultPIN)), nil
}

// signedCard signs the first statement, and has that signature for all others: the page of the
// figures has one challenge.
type signedCard struct {
	crs.Card
	mu          sync.Mutex
	certificate *x509.Certificate
	signature   *crs.Signature
}

func (c *signedCard) Certificate(ctx context.Context) (_ *x509.Certificate, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.certificate == nil {
		c.certificate, err = c.Card.Certificate(ctx)
	}
	return c.certificate, err
}

func (c *signedCard) Sign(ctx context.Context, pin *crs.PIN, s crs.Statement) (crs.Signature, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.signature == nil {
		made, err := c.Card.Sign(ctx, pin, s)
		if err != nil {
			return made, err
		}
		c.signature = &made
	}
	pin.Wipe()
	return *c.signature, nil
}

// TestBrowserFigures prints what a page waits for a token, by both ways, apart from card and citizen.
func TestBrowserFigures(t *testing.T) {
	if !*figures {
		return // scripts/bench asks for it
	}
	h := citizen.NewHome(t)
	h.InstallHost(t, h.HostProgram(t))
	browsers.Policy(t, `{"LoopbackNetworkAllowedForUrls": ["`+citizen.Site+`"]}`)
	citizen.ServeSites(t)
	h.Start(t, instant).Next("msg=ready")
	for name, start := range map[string]citizen.Starter{"Chromium": citizen.Chromium, "Firefox": citizen.Firefox} {
		o := h.Options()
		socket := start(t, o)
		o.Extension = citizen.Unpacked(t)
		extension := start(t, o)
		for way, b := range map[string]browsers.Tab{"WebSocket": socket, "extension": extension} {
			b.Open(citizen.Site)
			b.Run(`window.way = "` + way + `";` + timed)
			b.Press("button")
			asked := citizen.Outcome(t, b)
			for range 25 { // a tab of the extension has 30 connections in 10 s, and had five
				b.Run(`window.outcome = ""; window.act = window.whole`)
				b.Press("button")
				citizen.WantOutcome(t, b, "timed")
			}
			whole := b.Run(`return median(wholes)`)
			fmt.Printf("%s, %s: from authenticate to the token %s ms, median of 200; with finding and joining the program first, from a click, %s ms, median of 25\n", name, way, asked, whole)
		}
	}
}

// timed are two acts of a page: many logins over few connections, for the service lets ten messages a
// second through after fifty, and one as crs.js does it.
const timed = `
window.median = (took) => took.toSorted((a, b) => a - b)[took.length >> 1].toFixed(2);
window.wholes = [];
window.whole = async () => {
	const began = performance.now();
	await window.login();
	wholes.push(performance.now() - began);
	return "timed";
};
const joinExtension = () => new Promise((resolve) => {
	const say = (action, text) => window.postMessage({ to: "crs-extension", channel: "f", action, text }, location.origin);
	const on = { send: (text) => say("send", text), close: () => say("close") };
	window.onmessage = ({ data }) => {
		if (data?.from !== "crs-extension") return;
		if (data.action === "open") resolve(on);
		else if (data.action === "message") on.hear(data.text);
	};
	say("open");
});
const joinSocket = () => new Promise((resolve) => {
	const ws = new WebSocket("ws://127.0.0.1:27770/v1");
	const on = { send: (text) => ws.send(text), close: () => ws.close() };
	ws.onmessage = ({ data }) => on.hear(data);
	ws.onopen = () => resolve(on);
});
window.act = async () => {
	const all = [];
	for (let c = 0; c < 5; c++) {
		const on = await (window.way === "extension" ? joinExtension() : joinSocket());
		for (let id = 1; id <= 40; id++) {
			const began = performance.now();
			const { result } = await new Promise((resolve) => {
				on.hear = (text) => {
					const message = JSON.parse(text);
					if (message.id === id) resolve(message);
				};
				on.send(JSON.stringify({ jsonrpc: "2.0", id, method: "authenticate", params: { challenge } }));
			});
			if (!result.token) throw new Error("no token");
			all.push(performance.now() - began);
		}
		on.close();
	}
	return median(all);
};
`
