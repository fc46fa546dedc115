package pcsc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crs-bridge/crs"
)

// session is one transaction with a card. Every byte that reaches a card passes through
// transmit, and every PIN through transmitPIN or transmitPad.
type session struct {
	driver *Driver
	limits Timeouts
	ctx    context.Context
	reader string
	holdUp holdUp
	held   func() error // why a transaction does not begin in time
	conn   Conn
	t0     bool

	// identified is set when the card has proved in this transaction that it is the expected CNS.
	// Before that, only the commands of beforeIdentification are sent (docs/card-safety.md, rule
	// 2).
	identified bool

	// pinSent is set before a PIN is sent: from then on nothing is started over.
	pinSent bool

	// lost is set when a call was abandoned: the connection belongs to it.
	lost bool
}

// beforeIdentification is the allow-list of rule 2: commands that change nothing on any card.
// GET RESPONSE only fetches what one of the other two produced on T=0.
var beforeIdentification = map[byte]bool{insSelect: true, insReadBinary: true, insGetResponse: true}

var errNotIdentified = errors.New("command refused: the card has not proved what it is")

// errEndless is the error for a card that never stops offering more data.
var errEndless = fmt.Errorf("%w: endless response", crs.ErrCard)

// maxResponse bounds what 61xx may accumulate.
const maxResponse = maxExtended

// call runs a call of the connection within the usual limit.
func (s *session) call(f func() error) error {
	return s.callWithin(context.Background(), s.limits.Call, readerStuck, f)
}

func (s *session) callWithin(ctx context.Context, limit time.Duration, late, f func() error) error {
	_, err := withPatience(ctx, s.driver, s.reader, limit, late,
		func() (struct{}, error) { return struct{}{}, f() },
		func(struct{}, error) { s.dispose() })
	s.lost = s.lost || isAbandoned(err)
	return err
}

// begin starts the transaction. Nothing is known about the card yet, so a reset by another program
// is harmless.
func (s *session) begin() (err error) {
	for range maxBeginAttempts {
		if err = s.callWithin(s.holdUp.ctx, s.holdUp.limit, s.holdUp.late(s.held), s.conn.Begin); !errors.Is(err, crs.ErrCardReset) {
			break
		}
	}
	return err
}

// beginClean resets the card and begins the transaction anew: what another program's VERIFY allowed
// must not be mistaken for the work of a PIN pad that sent none (docs/card-safety.md, rule 9).
func (s *session) beginClean() error {
	if err := s.call(func() error { return s.conn.End(true) }); err != nil {
		return err
	}
	return s.begin()
}

// dispose closes the connection after an abandoned call. The card is reset only if a PIN may have
// opened it: another program may have waited for its transaction as long as we did.
func (s *session) dispose() {
	if !s.pinSent {
		s.conn.End(false)
	}
	s.conn.Close() // resets the card if the transaction is still open
}

// transmit sends a command that carries no secret and returns the whole response: it fetches
// the rest after 61xx, and repeats a SELECT or READ BINARY whose length was wrong (6Cxx).
func (s *session) transmit(c command) (response, error) {
	if c.carriesSecret() {
		return response{}, errors.New("command refused: it carries a secret")
	}
	if err := s.ctx.Err(); err != nil {
		return response{}, err
	}
	limit := s.limits.Call
	if c.ins == insPSO {
		limit = s.limits.Sign
	}
	r, err := s.exchange(c, limit)
	if err != nil {
		return response{}, err
	}
	if le, ok := r.sw.exactly(); ok && beforeIdentification[c.ins] {
		c.le = le
		if r, err = s.exchange(c, limit); err != nil {
			return response{}, err
		}
	}
	for {
		n, ok := r.sw.more()
		if !ok {
			return r, nil
		}
		next, err := s.exchange(command{ins: insGetResponse, le: n}, limit)
		if err != nil {
			return response{}, err
		}
		if len(next.data) == 0 || len(r.data)+len(next.data) > maxResponse {
			return response{}, errEndless
		}
		r = response{append(r.data, next.data...), next.sw}
	}
}

// transmitPIN sends a command that carries a secret: once, whatever the answer (docs/card-safety.md,
// rule 1). From its first byte to its status word nothing cancels it (rule 7): the context is
// checked before, not during. The data of the command are zero afterwards.
func (s *session) transmitPIN(c command) (sw, error) {
	defer clear(c.data)
	if !s.identified {
		return 0, errNotIdentified
	}
	r, err := s.exchange(c, s.limits.PIN)
	return r.sw, err
}

// transmitPad has the user type the secret of a command on the keys of the reader, which puts it
// into the data of the command: once, as transmitPIN, and nothing cancels it.
func (s *session) transmitPad(c command) (sw, error) {
	pad, ok := s.conn.(PINPad)
	if !ok || !c.carriesSecret() {
		return 0, errors.New("command refused: the reader has no keys for it")
	}
	apdu, err := c.encode(s.t0)
	if err != nil {
		return 0, err
	}
	ask, structure, limit := pad.VerifyPIN, verifyStructure(apdu, s.driver.language()), padVerify
	if c.ins != insVerify {
		ask, structure, limit = pad.ModifyPIN, modifyStructure(apdu, s.driver.language()), padModify
	}
	r, err := s.send(c, limit+s.limits.Pad, func() ([]byte, error) { return ask(structure) })
	return r.sw, err
}

// exchange sends one command and returns its response, both unchanged.
func (s *session) exchange(c command, limit time.Duration) (response, error) {
	b, err := c.encode(s.t0)
	if err != nil {
		return response{}, err
	}
	return s.send(c, limit, func() ([]byte, error) {
		if c.carriesSecret() {
			defer clear(b)
		}
		return s.conn.Transmit(b)
	})
}

// send runs the call that carries a command to the card and returns its response.
func (s *session) send(c command, limit time.Duration, call func() ([]byte, error)) (response, error) {
	if !s.identified && !beforeIdentification[c.ins] {
		return response{}, errNotIdentified
	}
	if s.lost {
		return response{}, crs.ErrCardStuck
	}
	answer, err := withDeadline(s.driver, s.reader, limit, readerStuck, call, func([]byte, error) { s.dispose() })
	if err != nil {
		s.lost = s.lost || isAbandoned(err)
		s.log(c, 0, "none")
		return response{}, err
	}
	r, err := parseResponse(answer)
	if err != nil {
		// A card that is pulled during a command gives no error and no bytes on some readers.
		s.log(c, 0, "none")
		return response{}, fmt.Errorf("%w: %w", crs.ErrCardRemoved, err)
	}
	s.log(c, len(r.data), r.sw.String())
	return r, nil
}

// log writes the header and the lengths of a command, which are not personal, and never its data.
func (s *session) log(c command, answered int, sw string) {
	s.driver.log().Debug("apdu", "reader", s.reader,
		"ins", fmt.Sprintf("%02X", c.ins), "p1", fmt.Sprintf("%02X", c.p1), "p2", fmt.Sprintf("%02X", c.p2),
		"sent", len(c.data), "received", answered, "sw", sw)
}

// selectPath selects a file or directory by its path from the MF, without FCI, or the MF
// itself for an empty path (ISO/IEC 7816-4, section 11.1.1; CNS: OpenSC, card-itacns.c).
func (s *session) selectPath(path []byte) error {
	c := command{ins: insSelect, p1: 0x08, p2: 0x0C, data: path}
	if len(path) == 0 {
		c.p1, c.data = 0x00, []byte{0x3F, 0x00}
	}
	r, err := s.transmit(c)
	if err != nil {
		return err
	}
	if r.sw != swOK {
		return r.sw
	}
	return nil
}

// selectFrom selects an application by its identifier (P1 04), or a file by its path from the current
// DF (P1 09), and takes the FCI that some cards insist on sending.
func (s *session) selectFrom(p1 byte, name []byte) error {
	_, err := s.transmitData(command{ins: insSelect, p1: p1, p2: 0x00, data: name, le: maxShortResponse})
	return err
}

// selectSize selects a file and returns its size from the FCI, -1 if the FCI does not say.
func (s *session) selectSize(path []byte) (int, error) {
	r, err := s.transmit(command{ins: insSelect, p1: 0x08, p2: 0x00, data: path, le: maxShortResponse})
	if err != nil {
		return 0, err
	}
	if r.sw != swOK {
		return 0, r.sw
	}
	return fileSize(r.data), nil
}

// read returns up to n bytes of the selected file from an offset; fewer mean that it ended.
// The end shows as 6282, as 6B00, or as a short answer.
func (s *session) read(offset, n int, extended bool) ([]byte, error) {
	if offset > 0x7FFF { // P1 has 15 bits for the offset
		return nil, fmt.Errorf("%w: file offset %d", crs.ErrCard, offset)
	}
	r, err := s.transmit(command{ins: insReadBinary, p1: byte(offset >> 8), p2: byte(offset), le: n, extended: extended})
	switch {
	case err != nil:
		return nil, err
	case r.sw == swOK || r.sw == swEndOfFile:
		return r.data[:min(n, len(r.data))], nil
	case r.sw == swOutside:
		return nil, nil
	}
	return nil, r.sw
}

// readTo reads the selected file in short commands until it holds n bytes or the file ends.
// OpenSC never asks for more than 255 bytes; some cards refuse 256.
func (s *session) readTo(have []byte, n int) ([]byte, error) {
	for len(have) < n {
		b, err := s.read(len(have), min(n-len(have), maxShort), false)
		if err != nil {
			return nil, err
		}
		if len(b) == 0 {
			break
		}
		have = append(have, b...)
	}
	return have, nil
}
