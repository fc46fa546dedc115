package pkcs11

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/frame"
)

// TestRequestsThatAreNone: what a worker is asked has all that it takes, and no PIN too many.
func TestRequestsThatAreNone(t *testing.T) {
	tok, cert, digest := &token{}, &certificate{}, make([]byte, 32)
	sign := request{Do: doSign, Secrets: 1, Token: tok, Certificate: cert, Algorithm: crs.RS256, Digest: digest}
	pad := sign
	pad.Secrets = 0
	for _, good := range []request{
		{Do: doCheck}, {Do: doLoad}, {Do: doList}, {Do: doStatus, Token: tok}, sign, pad,
		{Do: doVerify, Token: tok, Certificate: cert}, {Do: doVerify, Token: tok, Certificate: cert, Secrets: 1},
		{Do: doChange, Token: tok, Certificate: cert}, {Do: doChange, Token: tok, Certificate: cert, Secrets: 2},
	} {
		if !good.valid() {
			t.Errorf("%+v is refused", good)
		}
	}
	without := func(edit func(*request)) request {
		q := sign
		edit(&q)
		return q
	}
	for _, bad := range []request{
		{}, {Do: "unlock", Token: tok},
		{Do: doCheck, Secrets: 1}, {Do: doCheck, Token: tok}, {Do: doLoad, Secrets: 1}, {Do: doList, Secrets: 1}, {Do: doLoad, Token: tok}, {Do: doList, Token: tok},
		{Do: doStatus}, {Do: doStatus, Token: tok, Secrets: 1},
		{Do: doVerify, Certificate: cert}, {Do: doVerify, Token: tok},
		{Do: doVerify, Token: tok, Certificate: cert, Secrets: 2}, {Do: doVerify, Token: tok, Certificate: cert, Secrets: -1},
		{Do: doChange, Certificate: cert}, {Do: doChange, Token: tok},
		{Do: doChange, Token: tok, Certificate: cert, Secrets: 1}, {Do: doChange, Token: tok, Certificate: cert, Secrets: 3},
		without(func(q *request) { q.Secrets = 2 }), without(func(q *request) { q.Secrets = -1 }),
		without(func(q *request) { q.Token = nil }), without(func(q *request) { q.Certificate = nil }),
		without(func(q *request) { q.Algorithm = "RS1" }), without(func(q *request) { q.Digest = digest[1:] }),
		without(func(q *request) { q.Algorithm = crs.ES384 }),
	} {
		if bad.valid() {
			t.Errorf("%+v is answered", bad)
		}
	}
}

// TestT18RepliesOutOfBounds: what a worker answers is not longer than what a module is asked for.
func TestT18RepliesOutOfBounds(t *testing.T) {
	id, der, text := make([]byte, maxID), make([]byte, maxCertificate), strings.Repeat("x", maxText)
	full := func() reply {
		tok := token{
			Reader: text, Label: text, Manufacturer: text, Model: text, Serial: text, Algorithms: []crs.Algorithm{"a", "b"},
			Certificates: slices.Repeat([]certificate{{id, der}}, maxCertificates), Keys: slices.Repeat([][]byte{id}, 2*maxCertificates),
		}
		return reply{
			Tokens: slices.Repeat([]token{tok}, maxTokens), Signature: make([]byte, 1024),
			Failure: &failure{Call: text, Text: text + text},
		}
	}
	if !full().valid() {
		t.Error("a reply within its bounds is refused")
	}
	for i, edit := range []func(*reply){
		func(r *reply) { r.Tokens = append(r.Tokens, token{}) },
		func(r *reply) { r.Signature = append(r.Signature, 0) },
		func(r *reply) { r.Failure.Call += "x" },
		func(r *reply) { r.Failure.Text += "x" },
		func(r *reply) { r.Tokens[3].Reader += "x" },
		func(r *reply) { r.Tokens[3].Label += "x" },
		func(r *reply) { r.Tokens[3].Manufacturer += "x" },
		func(r *reply) { r.Tokens[3].Model += "x" },
		func(r *reply) { r.Tokens[3].Serial += "x" },
		func(r *reply) { r.Tokens[3].Algorithms = append(r.Tokens[3].Algorithms, "c") },
		func(r *reply) { r.Tokens[3].Certificates = append(r.Tokens[3].Certificates, certificate{}) },
		func(r *reply) { r.Tokens[3].Keys = append(r.Tokens[3].Keys, nil) },
		func(r *reply) { r.Tokens[3].Certificates = []certificate{{nil, append(der, 0)}} },
		func(r *reply) { r.Tokens[3].Certificates = []certificate{{append(id, 0), nil}} },
		func(r *reply) { r.Tokens[3].Keys = [][]byte{append(id, 0)} },
	} {
		r := full()
		if edit(&r); r.valid() {
			t.Errorf("bound %d does not hold", i)
		}
	}
}

// Messages and PINs that are too long are neither written nor read.
func TestFramesOutOfBounds(t *testing.T) {
	if err := writeMessage(io.Discard, reply{Signature: make([]byte, maxMessage)}); err == nil {
		t.Error("a long message is written")
	}
	write := func(kind byte, n int) *bytes.Buffer {
		var b bytes.Buffer
		frame.Write(&b, kind, bytes.Repeat([]byte(" "), n-2), []byte("{}"))
		return &b
	}
	if _, err := readReply(write(kindMessage, maxMessage)); err != nil {
		t.Error(err)
	}
	if _, err := readReply(write(kindMessage, maxMessage+1)); err == nil {
		t.Error("a long message is read")
	}
	for n, good := range map[int]bool{maxSecret: true, maxSecret + 1: false} {
		var b bytes.Buffer
		writeMessage(&b, request{Do: doVerify, Secrets: 1, Token: &token{}, Certificate: &certificate{}})
		io.Copy(&b, write(kindSecret, n))
		if _, secrets, err := readRequest(&b); (err == nil) != good || good != (len(secrets) == 1) {
			t.Errorf("a PIN of %d bytes: %v", n, err)
		}
	}
}

// Two tokens are one if all that they say of themselves is the same.
func TestSameToken(t *testing.T) {
	a := token{Slot: 1, Label: "l", Manufacturer: "m", Model: "o", Serial: "s", Flags: 1}
	if b := (token{Slot: 2, Label: "l", Manufacturer: "m", Model: "o", Serial: "s"}); !a.same(b) {
		t.Error("the same token is another one")
	}
	for _, b := range []token{{Manufacturer: "m", Model: "o", Serial: "s"}, {Label: "l", Model: "o", Serial: "s"},
		{Label: "l", Manufacturer: "m", Serial: "s"}, {Label: "l", Manufacturer: "m", Model: "o"}} {
		if a.same(b) {
			t.Errorf("%+v is the same", b)
		}
	}
}
