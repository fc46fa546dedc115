package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/test/await"
	"github.com/crs-bridge/crs/internal/test/citizen"
)

// page is a page of a portal that is connected to the bridge.
type page struct {
	*scriptedPage
	t      testing.TB
	origin crs.Origin
}

const developerPort = 8080

func open(t testing.TB, origin string) *page {
	t.Helper()
	p, err := tryOpen(t, origin)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func tryOpen(t testing.TB, origin string) (*page, error) {
	t.Helper()
	o, err := crs.ParseDeveloperOrigin(origin, developerPort)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	p := &page{&scriptedPage{ctx: ctx, address: origin}, t, o}
	if err := p.connect(citizen.BridgeAddress); err != nil {
		return nil, err
	}
	t.Cleanup(func() { p.ws.Close() })
	return p, nil
}

// login is what a page got for a challenge.
type login struct {
	origin       crs.Origin
	challenge    crs.Challenge
	tokenJSON    []byte
	token        crs.Token
	personalData []byte
}

// login asks for a login. Its error names the bridge's code.
func (p *page) login(personalData bool) (login, error) {
	p.t.Helper()
	random := make([]byte, 32)
	rand.Read(random)
	challenge, err := crs.ParseChallenge(base64.StdEncoding.EncodeToString(random))
	if err != nil {
		p.t.Fatal(err)
	}
	params := map[string]any{"challenge": challenge.String(), "lang": "it"}
	if personalData {
		params["personalData"] = true
	}
	p.ws.SetReadDeadline(time.Now().Add(3 * await.Limit)) // many dialogs may come before the answer
	result, err := p.call("authenticate", params)
	l := login{origin: p.origin, challenge: challenge}
	if err != nil {
		return l, err
	}
	var reply struct {
		Token        json.RawMessage
		PersonalData []byte
	}
	d := json.NewDecoder(bytes.NewReader(result))
	d.DisallowUnknownFields()
	if err := d.Decode(&reply); err != nil {
		p.t.Fatalf("reply %s: %v", result, err)
	}
	l.tokenJSON, l.personalData = reply.Token, reply.PersonalData
	if l.token, err = crs.ParseToken(reply.Token); err != nil {
		p.t.Fatal(err)
	}
	return l, nil
}

func (p *page) mustLogIn() login {
	p.t.Helper()
	l, err := p.login(false)
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

// refused checks that a login ended with a code.
func (p *page) refused(code crs.Code) {
	p.t.Helper()
	if _, err := p.login(false); err == nil || !strings.Contains(err.Error(), "("+string(code)+")") {
		p.t.Errorf("the login ended with %v, not %s", err, code)
	}
}
