package pcsc

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/tries"
)

// PINPad is a Conn to a reader with keys of its own (PC/SC part 10, version 2.02.09). What is typed
// on them goes to the card, and this computer sees only the status word.
type PINPad interface {
	// PINPad reports which of the two methods below the reader supports.
	PINPad() (verify, modify bool)
	// VerifyPIN takes a PIN_VERIFY_STRUCTURE, waits for the user, and returns the status word of
	// the card, or that of the reader if it sent the card nothing.
	VerifyPIN(structure []byte) ([]byte, error)
	// ModifyPIN is the same with a PIN_MODIFY_STRUCTURE.
	ModifyPIN(structure []byte) ([]byte, error)
}

// pinPad reports what the keys of a reader can do, if it has any.
func pinPad(c Conn) (verify, modify bool) {
	if pad, ok := c.(PINPad); ok {
		return pad.PINPad()
	}
	return false, false
}

// How long the user may type: one PIN, or three of them. libccid waits for the reader ten seconds
// longer, and at least 90 (commands.c); it gets that time to report the outcome.
const (
	padVerify = 60 * time.Second
	padModify = 120 * time.Second
)

// What the two structures have in common. The insertion offsets count from the data field of the
// command, not from its header.
const (
	padFormat    = 0x82 // bmFormatString: ASCII, to the left, at byte 0 of the data field
	padBlock     = 0x08 // bmPINBlockString: no length in the command, a block of 8 bytes
	padLength    = 0x00 // bmPINLengthFormat: no length in the command
	padValidKey  = 0x02 // bEntryValidationCondition: the validation key
	padConfirmed = 0x03 // bConfirmPIN: the old PIN is asked for, the new one twice
)

// verifyStructure is the PIN_VERIFY_STRUCTURE of a VERIFY (section 2.5.2). Numbers of more bytes
// are little endian, as in USB.
func verifyStructure(apdu []byte, language string) []byte {
	id := languageID(language)
	b := []byte{
		byte(padVerify / time.Second),      // bTimeOut
		byte(padVerify / time.Second),      // bTimeOut2: from the first key on
		padFormat,                          // bmFormatString
		padBlock,                           // bmPINBlockString
		padLength,                          // bmPINLengthFormat
		byte(cnsPIN.Max), byte(cnsPIN.Min), // wPINMaxExtraDigit
		padValidKey,             // bEntryValidationCondition
		0x01,                    // bNumberMessage: one
		byte(id), byte(id >> 8), // wLangId
		0x00,             // bMsgIndex: "enter the PIN"
		0x00, 0x00, 0x00, // bTeoPrologue: the driver's
	}
	return appendAPDU(b, apdu)
}

// modifyStructure is the PIN_MODIFY_STRUCTURE of a CHANGE REFERENCE DATA (section 2.5.3).
func modifyStructure(apdu []byte, language string) []byte {
	id := languageID(language)
	b := []byte{
		byte(padModify / time.Second),      // bTimeOut
		byte(padModify / time.Second),      // bTimeOut2
		padFormat,                          // bmFormatString
		padBlock,                           // bmPINBlockString
		padLength,                          // bmPINLengthFormat
		0x00,                               // bInsertionOffsetOld
		pinBlock,                           // bInsertionOffsetNew
		byte(cnsPIN.Max), byte(cnsPIN.Min), // wPINMaxExtraDigit
		padConfirmed,            // bConfirmPIN
		padValidKey,             // bEntryValidationCondition
		0x03,                    // bNumberMessage: three
		byte(id), byte(id >> 8), // wLangId
		0x00, 0x01, 0x02, // bMsgIndex1 to 3: "PIN", "new PIN", "new PIN again"
		0x00, 0x00, 0x00, // bTeoPrologue
	}
	return appendAPDU(b, apdu)
}

// appendAPDU ends a structure with ulDataLength and abData.
func appendAPDU(b, apdu []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(apdu))), apdu...)
}

// languageID returns the identifier that USB and Windows have for a language.
func languageID(language string) uint16 {
	switch language {
	case "en":
		return 0x0409
	case "de":
		return 0x0407
	}
	return 0x0410 // Italian
}

// Status words of the reader (section 2.5.4). Any other comes from the card.
const (
	swPadTimeout   sw = 0x6400
	swPadCancelled sw = 0x6401
	swPadMismatch  sw = 0x6402 // the new PIN was not typed the same twice
	swPadLength    sw = 0x6403 // too short or too long
	swPadParameter sw = 0x6B80 // the structure is wrong
)

// notSent returns the error for a status word by which the reader says that it sent nothing to the
// card, nil for any other.
func (s sw) notSent() error {
	switch s {
	case swPadTimeout:
		return crs.ErrPadTimeout
	case swPadCancelled:
		return crs.ErrPadCancelled
	case swPadMismatch:
		return crs.ErrPadMismatch
	case swPadLength:
		return crs.ErrPINFormat
	}
	return nil
}

// typeOnPad has the user type the secrets of a command on the reader, once, whatever the answer.
// The try is counted before the reader asks, and given back only if the reader says that it sent
// nothing. Its 9000 proves nothing yet, so the try stays counted.
func (c *cns) typeOnPad(s *session, command command) (sw, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if verify, modify := pinPad(s.conn); command.ins == insVerify && !verify || command.ins != insVerify && !modify {
		return 0, crs.ErrPINPad
	}
	before := c.driver.tries().Status(c.cardID)
	pending := tries.Spend(before)
	c.driver.tries().Keep(c.cardID, pending)
	s.pinSent = true
	status, err := s.transmitPad(command)
	switch {
	case err != nil:
		return 0, &crs.PINError{Retries: -1, Uncertain: true, Err: padError(err)}
	case status == swOK:
		return status, nil
	case status == swPadParameter: // some readers pass it on from the card
		return status, padFailed(status)
	}
	err = status.notSent()
	if err == nil && command.ins != insVerify && status.notSupported() {
		err = fmt.Errorf("%w (SW %04X)", crs.ErrPINUnsupported, uint16(status))
	}
	after := before
	if err == nil {
		after, err = verifyResult(status, before, pending)
	}
	c.driver.tries().Keep(c.cardID, after)
	return status, err
}

// padFailed is the error for a PIN pad that did not do its work. What the card was sent is not
// known.
func padFailed(status sw) error {
	return &crs.PINError{Retries: -1, Uncertain: true, SW: uint16(status), Err: crs.ErrPINPad}
}

// padError turns an error that is not the card's doing into crs.ErrPINPad.
func padError(err error) error {
	if cardGone(err) || errors.Is(err, crs.ErrNoService) {
		return err
	}
	return fmt.Errorf("%w: %w", crs.ErrPINPad, err)
}

// verifyOnPad is one VERIFY with a PIN that is typed on the reader, and f, which works only if the
// card received it: a PIN pad may answer 9000 and have sent nothing (docs/card-safety.md, rule 9).
// There is no second VERIFY, not even with the other reference: that needs another typing.
func (c *cns) verifyOnPad(s *session, f func(*session) error) error {
	status, err := c.typeOnPad(s, command{ins: insVerify, p2: c.pinRefs[0], data: pinBlocks(nil)})
	switch {
	case status.otherReference() && len(c.pinRefs) > 1:
		c.pinRefs, c.refKnown = c.pinRefs[1:], false
		return crs.ErrPINAgain
	case err != nil:
		if status.refExists() {
			c.pinRefs, c.refKnown = c.pinRefs[:1], true
		}
		return err
	}
	s.ctx = context.WithoutCancel(s.ctx) // the proof is part of the answer
	err = f(s)
	if errors.Is(err, swNotAllowed) {
		c.driver.log().Info("PIN pad failed", "reader", s.reader)
		return padFailed(swNotAllowed)
	}
	if err != nil {
		return err
	}
	c.driver.tries().Keep(c.cardID, crs.UnknownPINStatus)
	c.pinRefs, c.refKnown = c.pinRefs[:1], true
	return nil
}

// padProof is what the card signs to show that it was sent a PIN. Nobody chose it, no portal
// accepts it, and the signature is thrown away.
var padProof = sha256.Sum256([]byte("CRS: the PIN was typed on the reader"))

// provePIN has the card sign, after a PIN that is not used for anything else.
func (c *cns) provePIN(s *session) error {
	signature, err := c.signDigest(s, padProof[:])
	if err != nil {
		return err
	}
	if err := rsa.VerifyPKCS1v15(c.certificate.PublicKey.(*rsa.PublicKey), crypto.SHA256, padProof[:], signature); err != nil {
		return fmt.Errorf("%w: %w", crs.ErrCard, err)
	}
	return nil
}

// changeOnPad is CHANGE REFERENCE DATA with both PINs typed on the reader. Whether that leaves the
// PIN verified differs by card, so nothing here proves the reader's 9000; the try stays counted
// until a VERIFY does.
func (c *cns) changeOnPad(ctx context.Context) error {
	return c.replacePIN(ctx, func(s *session, ref byte) error {
		_, err := c.typeOnPad(s, command{ins: insChangePIN, p2: ref, data: pinBlocks(nil, nil)})
		return err
	})
}
