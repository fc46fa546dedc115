package pkcs11

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/frame"
	"github.com/crs-bridge/crs/internal/outside"
)

// The protocol between this program and a worker: one request at a time on the worker's stdin,
// with its secrets behind it, and on stdout replies, of which the last ends the request. A module
// may have done anything to the worker's memory, so neither side trusts the other's lengths.
//
// A frame holds JSON, or a PIN as it was typed. A PIN is nowhere else.
const (
	kindMessage = 'M'
	kindSecret  = 'S'

	maxMessage = 256 << 10
	maxSecret  = 255
	maxSecrets = 2 // of one request: the old PIN and the new one

	maxTokens       = 16
	maxCertificates = 16 // of one token
	maxCertificate  = 8 << 10
	maxID           = 64 // bytes of a CKA_ID
	maxText         = 255
)

// What a worker is asked to do.
const (
	doCheck  = "check"  // load the module, and have it do nothing
	doLoad   = "load"   // load and initialise it
	doList   = "list"   // the tokens, with their certificates
	doStatus = "status" // the flags of one token
	doVerify = "verify" // C_Login, C_Logout
	doSign   = "sign"   // C_Login, C_Sign, C_Logout
	doChange = "change" // C_SetPIN
)

// request is what a worker is asked.
type request struct {
	Do      string
	Secrets int    // how many secrets follow
	Token   *token // the token that is meant, as it was listed

	// With a PIN: a certificate that the token must have. For doSign: its key signs, how, and what.
	Certificate *certificate  `json:",omitempty"`
	Algorithm   crs.Algorithm `json:",omitempty"`
	Digest      []byte        `json:",omitempty"`
}

// reply is what a worker answers. For each token it has what C_GetTokenInfo returns.
type reply struct {
	// Accepted says that the token took the PIN, and that a last reply follows.
	Accepted  bool     `json:",omitempty"`
	Unchanged bool     `json:",omitempty"` // the tokens are those of the last list
	Tokens    []token  `json:",omitempty"`
	Flags     uint     `json:",omitempty"` // of the token that was asked for
	Signature []byte   `json:",omitempty"`
	Failure   *failure `json:",omitempty"`
}

// failure is the call of the module that failed, and its CK_RV. Without a CK_RV the worker itself
// says what is wrong.
type failure struct {
	Call string
	Code uint   `json:",omitempty"`
	Text string `json:",omitempty"`
}

// token is a slot with a token in it. Together the texts tell two tokens apart.
type token struct {
	Slot         uint
	Reader       string // slotDescription
	Label        string
	Manufacturer string
	Model        string
	Serial       string
	Flags        uint
	MinPIN       uint
	MaxPIN       uint
	Algorithms   []crs.Algorithm `json:",omitempty"` // for RSA keys
	Certificates []certificate   `json:",omitempty"`
	Keys         [][]byte        `json:",omitempty"` // CKA_ID of the keys that are visible before the PIN
}

// certificate is a certificate object.
type certificate struct {
	ID  []byte // CKA_ID
	DER []byte
}

// same reports whether two tokens are the same, judging by their texts.
func (t token) same(u token) bool {
	return t.Label == u.Label && t.Manufacturer == u.Manufacturer && t.Model == u.Model && t.Serial == u.Serial
}

// writeMessage writes a request or a reply.
func writeMessage(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > maxMessage {
		return fmt.Errorf("message of %d bytes", len(b))
	}
	return frame.Write(w, kindMessage, b)
}

func writeSecret(w io.Writer, secret []byte) error {
	if len(secret) > maxSecret {
		return fmt.Errorf("secret of %d bytes", len(secret))
	}
	return frame.Write(w, kindSecret, secret)
}

// readMessage reads a request or a reply.
func readMessage(r io.Reader, v interface{ valid() bool }) error {
	_, b, err := frame.Read(r, frame.Limits{kindMessage: maxMessage})
	if err != nil {
		return err
	}
	if json.Unmarshal(b, v) != nil || !v.valid() {
		return frame.ErrMalformed
	}
	return nil
}

// readRequest reads a request and its secrets, each straight into a PIN.
func readRequest(r io.Reader) (q request, secrets []*crs.PIN, err error) {
	if err := readMessage(r, &q); err != nil {
		return request{}, nil, err
	}
	for range q.Secrets {
		_, b, err := frame.Read(r, frame.Limits{kindSecret: maxSecret})
		if err != nil {
			wipe(secrets)
			return request{}, nil, err
		}
		secrets = append(secrets, crs.NewPIN(b))
	}
	return q, secrets, nil
}

func wipe(secrets []*crs.PIN) {
	for _, s := range secrets {
		s.Wipe()
	}
}

// valid reports whether a request is one that this program makes.
func (q request) valid() bool {
	switch q.Do {
	case doCheck, doLoad, doList:
		return q.Secrets == 0 && q.Token == nil
	case doStatus:
		return q.Secrets == 0 && q.Token != nil
	case doVerify:
		return q.Secrets <= 1 && q.Secrets >= 0 && q.Token != nil && q.Certificate != nil
	case doSign:
		hash := q.Algorithm.Hash()
		return q.Secrets <= 1 && q.Secrets >= 0 && q.Token != nil && q.Certificate != nil && hash != 0 && len(q.Digest) == hash.Size()
	case doChange:
		return (q.Secrets == maxSecrets || q.Secrets == 0) && q.Token != nil && q.Certificate != nil
	}
	return false
}

// usesPIN reports whether a PIN goes to the token.
func (q request) usesPIN() bool { return q.Do == doVerify || q.Do == doSign || q.Do == doChange }

// readReply reads a reply and refuses one that no honest worker sends.
func readReply(r io.Reader) (a reply, err error) {
	if err := readMessage(r, &a); err != nil {
		return reply{}, err
	}
	return a, nil
}

func (a reply) valid() bool {
	if len(a.Tokens) > maxTokens || len(a.Signature) > 1024 {
		return false
	}
	if f := a.Failure; f != nil && (len(f.Call) > maxText || len(f.Text) > 2*maxText) {
		return false
	}
	for _, t := range a.Tokens {
		for _, s := range []string{t.Reader, t.Label, t.Manufacturer, t.Model, t.Serial} {
			if len(s) > maxText {
				return false
			}
		}
		if len(t.Certificates) > maxCertificates || len(t.Keys) > 2*maxCertificates || len(t.Algorithms) > 2 {
			return false
		}
		for _, c := range t.Certificates {
			if len(c.DER) > maxCertificate || len(c.ID) > maxID {
				return false
			}
		}
		for _, id := range t.Keys {
			if len(id) > maxID {
				return false
			}
		}
	}
	return true
}

// text makes valid text of what a module returns as text.
func text(s string) string {
	return clip(strings.TrimRight(s, " \x00"))
}

func clip(s string) string {
	s = outside.Text(s)
	for len(s) > maxText {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
