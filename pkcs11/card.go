package pkcs11

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/tries"
)

// card is a token as a crs.Card. Its PIN cannot be unblocked: no maker is known to document that
// its module takes a PUK for the security officer's PIN (docs/card-safety.md, rule 6).
type card struct {
	tokens  *Tokens
	host    *host
	module  Module
	token   token
	chosen  chosen
	removed atomic.Bool
	flags   atomic.Uint64 // of the token, as last read
	login   sync.Mutex    // one PIN at a time, from counting its try to the end of it
}

var (
	_ crs.Card       = (*card)(nil)
	_ crs.PINManager = (*card)(nil)
)

func (c *card) Info() crs.Info {
	name := c.token.Reader
	if name == "" {
		name = fmt.Sprintf("%s %d", c.module.Name, c.token.Slot)
	}
	return crs.Info{
		Reader:     name,
		Kind:       c.chosen.kind,
		Model:      "PKCS#11: " + c.module.Name,
		Holder:     c.chosen.holder,
		ID:         c.chosen.id,
		NotBefore:  c.chosen.parsed.NotBefore,
		NotAfter:   c.chosen.parsed.NotAfter,
		ByModule:   true,
		PINFormat:  c.pinFormat(),
		PINPad:     c.hasPad(),
		TwoPartPIN: crs.IssuedInTwoParts(c.chosen.parsed),
	}
}

// asked is the token as requests name it: without its objects, which are large.
func (c *card) asked() *token {
	t := c.token
	t.Certificates, t.Keys = nil, nil
	return &t
}

// hasPad reports whether the PIN is typed on the token or its reader.
func (c *card) hasPad() bool { return c.token.Flags&ckfProtectedPath != 0 }

// pinFormat is what the token says, unless its lengths make no sense. Letters are allowed.
func (c *card) pinFormat() crs.PINFormat {
	least, most := int(c.token.MinPIN), int(c.token.MaxPIN)
	if most <= 0 || most > maxSecret {
		most = maxSecret
	}
	if least < 1 || least > most {
		least = 1
	}
	return crs.PINFormat{Min: least, Max: most}
}

func (c *card) Certificate(context.Context) (*x509.Certificate, error) {
	if c.removed.Load() {
		return nil, crs.ErrCardRemoved
	}
	return c.chosen.parsed, nil
}

// PINStatus joins what is kept with the flags of the token. If a module says that its token is
// locked, the user may still try: OpenSC says so about healthy cards, and is not believed at all.
func (c *card) PINStatus(ctx context.Context) (crs.PINStatus, error) {
	if c.removed.Load() {
		return crs.PINStatus{}, crs.ErrCardRemoved
	}
	r, err := c.host.call(ctx, request{Do: doStatus, Token: c.asked()}, nil, nil)
	if err != nil {
		return crs.PINStatus{}, err
	}
	c.flags.Store(uint64(r.Flags))
	return c.KeptPINStatus(), nil
}

// KeptPINStatus is PINStatus as of when the token was last asked. It does no I/O.
func (c *card) KeptPINStatus() crs.PINStatus {
	return withFlags(c.tokens.tries().Status(c.chosen.id), uint(c.flags.Load()), c.module.falseLocked)
}

// withFlags joins what is kept about a PIN with what the flags of its token say.
func withFlags(kept crs.PINStatus, flags uint, falseLocked bool) crs.PINStatus {
	atMost := func(n int, doubtful bool) {
		if kept.Retries < 0 || kept.Retries > n {
			kept = crs.PINStatus{Retries: n, Doubtful: doubtful, Blocked: kept.Blocked}
		}
	}
	switch {
	case flags&ckfPINLocked != 0 && !falseLocked:
		kept.Blocked = true
	case flags&ckfPINFinalTry != 0:
		atMost(1, false)
	case flags&ckfPINCountLow != 0:
		atMost(tries.Full-1, true)
	}
	return kept
}

// PUKStatus knows nothing: see UnblockPIN.
func (c *card) PUKStatus(context.Context) (crs.PINStatus, error) { return crs.UnknownPINStatus, nil }

// UnblockPIN refuses.
func (c *card) UnblockPIN(_ context.Context, puk, fresh *crs.PIN) error {
	puk.Wipe()
	fresh.Wipe()
	return crs.ErrPINUnsupported
}

// Sign is C_Login, C_Sign and C_Logout.
func (c *card) Sign(ctx context.Context, pin *crs.PIN, statement crs.Statement) (crs.Signature, error) {
	defer pin.Wipe()
	digest, err := statement.Digest(c.chosen.algorithm)
	if err != nil {
		return crs.Signature{}, err
	}
	r, err := c.withPIN(ctx, request{
		Do: doSign, Algorithm: c.chosen.algorithm, Digest: digest,
	}, pin)
	var f *failure
	if errors.As(err, &f) && f.Call == callNoKey {
		c.tokens.keyless(c)
	}
	if err != nil {
		return crs.Signature{}, err
	}
	sig := crs.Signature{Algorithm: c.chosen.algorithm, Certificate: c.chosen.parsed, Bytes: r.Signature}
	if err := sig.Verify(statement); err != nil {
		return crs.Signature{}, fmt.Errorf("%w: %w", crs.ErrModule, err)
	}
	return sig, nil
}

// VerifyPIN is Sign without a signature.
func (c *card) VerifyPIN(ctx context.Context, pin *crs.PIN) error {
	defer pin.Wipe()
	_, err := c.withPIN(ctx, request{Do: doVerify}, pin)
	return err
}

// ChangePIN is C_SetPIN, without a C_Login, which would send the old PIN once more.
func (c *card) ChangePIN(ctx context.Context, old, fresh *crs.PIN) error {
	defer old.Wipe()
	defer fresh.Wipe()
	_, err := c.withPIN(ctx, request{Do: doChange}, old, fresh)
	return err
}

// withPIN sends a request with PINs, each once. Nil PINs are typed on the device. The try of the
// first is counted before it leaves, so that it is not forgotten whatever happens to token, module
// or this process.
func (c *card) withPIN(ctx context.Context, q request, pins ...*crs.PIN) (reply, error) {
	if c.removed.Load() {
		return reply{}, crs.ErrCardRemoved
	}
	c.login.Lock()
	defer c.login.Unlock()
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	secrets, err := c.take(pins)
	if err != nil {
		return reply{}, err
	}
	before := c.tokens.tries().Status(c.chosen.id)
	pending := tries.Spend(before)
	sent := false
	q.Token, q.Certificate = c.asked(), &c.chosen.certificate
	r, err := c.host.call(ctx, q, secrets, func() {
		sent = true
		c.tokens.tries().Keep(c.chosen.id, pending)
	})
	if !sent {
		return r, err
	}
	if c.module.readers && c.tokens.Reset != nil {
		c.tokens.Reset(c.token.Reader)
	}
	proved := pins[0] != nil || err == nil && q.Do == doSign
	status, err := pinResult(r, err, before, pending)
	if status == crs.UnknownPINStatus && !proved {
		status = before // only the keys' own claim (docs/card-safety.md, rule 9)
	}
	c.tokens.tries().Keep(c.chosen.id, status)
	return r, err
}

// take spends the PINs, all or none.
func (c *card) take(pins []*crs.PIN) ([][]byte, error) {
	if pins[0] == nil {
		if !c.hasPad() {
			return nil, fmt.Errorf("%w: the PIN cannot be typed on this device", crs.ErrInternal)
		}
		return nil, nil
	}
	for _, pin := range pins {
		if pin == nil {
			return nil, errors.New("one PIN of two")
		}
		if err := pin.Check(c.pinFormat()); err != nil {
			return nil, err
		}
	}
	var secrets [][]byte
	for _, pin := range pins {
		b, err := pin.Spend()
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, b)
	}
	return secrets, nil
}

// identity tells two cards apart: the number of a CNS, which its own driver finds too, or else a
// part of the certificate's digest.
func identity(cert *x509.Certificate) string {
	if s, err := crs.ParseSubject(cert); err == nil {
		return s.CardID
	}
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:8])
}
