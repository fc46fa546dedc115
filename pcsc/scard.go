package pcsc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/crs-bridge/crs"
	"github.com/crs-bridge/crs/internal/outside"
	"github.com/crs-bridge/crs/internal/scard"
)

// pcscReader is a reader of the operating system's PC/SC service, by the service's name for it,
// which need not be UTF-8. Only calls to the service see that name.
type pcscReader string

// Name returns the name as text, a different one for each reader.
func (r pcscReader) Name() string { return names.of(string(r)) }

// names remembers the text for each reader's name, so that two whose bytes make the same text keep
// different names as others come and go.
var names readerNames

type readerNames struct {
	mu    sync.Mutex
	texts map[string]string // by the service's name
	taken map[string]bool
}

func (n *readerNames) of(raw string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if text, ok := n.texts[raw]; ok {
		return text
	}
	if n.texts == nil {
		n.texts, n.taken = make(map[string]string), make(map[string]bool)
	}
	text := outside.Text(raw)
	for i := 2; n.taken[text]; i++ {
		text = fmt.Sprintf("%s (%d)", outside.Text(raw), i)
	}
	n.texts[raw], n.taken[text] = text, true
	return text
}

// Connect starts over when another program resets the card meanwhile: nothing was learned about it
// yet.
func (r pcscReader) Connect() (Conn, error) {
	const attempts = 10
	for i := 1; ; i++ {
		c, err := connect(string(r))
		switch {
		case err == nil:
			return c, nil
		case i == attempts || err != scard.ErrResetCard:
			return nil, cardError(err)
		}
	}
}

// Wait says why Connect, or a transaction after it, has to wait: pcscd holds both back while
// another program has a transaction. If nobody else is connected, the reader hangs.
func (r pcscReader) Wait() error {
	const limit = 2 * time.Second
	answer := make(chan error, 1)
	go func() {
		ctx, err := establish()
		if err != nil {
			answer <- err
			return
		}
		defer ctx.Release()
		state := []scard.ReaderState{{Reader: string(r)}}
		switch err := ctx.GetStatusChange(state, 0); {
		case err != nil && err != scard.ErrTimeout:
			answer <- cardError(err)
		case state[0].EventState&(scard.StateInuse|scard.StateExclusive) != 0:
			answer <- crs.ErrCardInUse
		default:
			answer <- crs.ErrCardStuck
		}
	}()
	select {
	case err := <-answer:
		return err
	case <-time.After(limit):
		return crs.ErrServiceStuck
	}
}

// connect uses a context of its own: on a shared one, a second connection to the reader of an
// open transaction never returns. Its errors are PC/SC's.
func connect(reader string) (*pcscConn, error) {
	ctx, err := establish()
	if err != nil {
		return nil, err
	}
	// Readers of contactless cards offer both protocols, and T=1 is the one that fits; every
	// known CNS has T=1. Another program may have chosen T=0 already.
	card, err := ctx.Connect(reader, scard.ShareShared, scard.ProtocolT1)
	if err == scard.ErrProtoMismatch {
		card, err = ctx.Connect(reader, scard.ShareShared, scard.ProtocolT0|scard.ProtocolT1)
	}
	if err != nil {
		ctx.Release()
		return nil, err
	}
	c := &pcscConn{ctx: ctx, card: card}
	switch card.ActiveProtocol() {
	case scard.ProtocolT0:
	case scard.ProtocolT1:
		c.protocol = 1
	default: // the binding panics on others
		c.Close()
		return nil, scard.ErrProtoMismatch
	}
	status, err := card.Status()
	if err != nil {
		c.Close()
		return nil, err
	}
	c.atr = status.Atr
	c.features()
	return c, nil
}

// pcscConn is one connection, with its own context.
type pcscConn struct {
	ctx           *scard.Context
	card          *scard.Card
	atr           []byte
	protocol      int
	maxAPDU       int
	verify        uint32 // control code of FEATURE_VERIFY_PIN_DIRECT, 0 if the reader has none
	modify        uint32 // of FEATURE_MODIFY_PIN_DIRECT
	inTransaction bool
}

func (c *pcscConn) ATR() []byte   { return c.atr }
func (c *pcscConn) Protocol() int { return c.protocol }
func (c *pcscConn) MaxAPDU() int  { return c.maxAPDU }

func (c *pcscConn) Begin() error {
	err := c.card.BeginTransaction()
	if err == nil {
		c.inTransaction = true
		return nil
	}
	err = cardError(err)
	if errors.Is(err, crs.ErrCardReset) {
		// The handle is good again only after a reconnect.
		// The protocol stays the one that commands are encoded for.
		if again := c.card.Reconnect(scard.ShareShared, c.card.ActiveProtocol(), scard.LeaveCard); again != nil {
			return cardError(again)
		}
	}
	return err
}

func (c *pcscConn) Transmit(command []byte) ([]byte, error) {
	if len(command) == 0 {
		return nil, errors.New("empty command") // the binding panics on it
	}
	answer, err := c.card.Transmit(command)
	if err != nil {
		return nil, transmitError(err)
	}
	return answer, nil
}

func (c *pcscConn) End(reset bool) error {
	disposition := scard.LeaveCard
	if reset {
		disposition = scard.ResetCard
	}
	if err := c.card.EndTransaction(disposition); err != nil {
		return cardError(err)
	}
	c.inTransaction = false
	return nil
}

func (c *pcscConn) Close() error {
	if c.card == nil {
		return nil
	}
	err := scard.Close(c.ctx, c.card, c.inTransaction)
	c.card = nil
	return err
}

// Features of a reader (PC/SC part 10, section 2.2).
const (
	getFeatureRequest    = 3400
	featureVerifyPIN     = 0x06
	featureModifyPIN     = 0x07
	featureTLVProperties = 0x12
	propertyMinPINSize   = 0x06
	propertyMaxPINSize   = 0x07
	propertyMaxAPDU      = 0x0A // dwMaxAPDUDataSize, section 2.6.14
)

// features asks the driver of the reader what the reader can do. The card is sent nothing. What is
// not reported, or not understood, counts as absent.
func (c *pcscConn) features() {
	list, err := c.card.Control(scard.CtlCode(getFeatureRequest), nil)
	if err != nil {
		return
	}
	features := parseFeatures(list)
	var properties []byte
	if code := features[featureTLVProperties]; code != 0 {
		if properties, err = c.card.Control(code, nil); err != nil {
			properties = nil
		}
	}
	c.maxAPDU = maxDataField(properties)
	if takesPIN(properties) {
		c.verify, c.modify = features[featureVerifyPIN], features[featureModifyPIN]
	}
}

func (c *pcscConn) PINPad() (verify, modify bool) { return c.verify != 0, c.modify != 0 }

func (c *pcscConn) VerifyPIN(structure []byte) ([]byte, error) { return c.control(c.verify, structure) }

func (c *pcscConn) ModifyPIN(structure []byte) ([]byte, error) { return c.control(c.modify, structure) }

func (c *pcscConn) control(code uint32, structure []byte) ([]byte, error) {
	answer, err := c.card.Control(code, structure)
	if err != nil {
		return nil, transmitError(err)
	}
	return answer, nil
}

// parseFeatures reads a feature list: tag, length 4, control code, big endian. A list that breaks
// this form anywhere counts as empty: no control code is guessed.
func parseFeatures(list []byte) map[byte]uint32 {
	features := make(map[byte]uint32)
	for len(list) > 0 {
		if len(list) < 6 || list[1] != 4 {
			return nil
		}
		tag := list[0]
		if _, twice := features[tag]; twice {
			return nil
		}
		features[tag] = binary.BigEndian.Uint32(list[2:])
		list = list[6:]
	}
	return features
}

// takesPIN reports whether the keys of a reader take every PIN that a CNS can have, as far as its
// properties say.
func takesPIN(properties []byte) bool {
	least, most := property(properties, propertyMinPINSize), property(properties, propertyMaxPINSize)
	return !(len(least) == 1 && int(least[0]) > cnsPIN.Min) &&
		!(len(most) == 1 && most[0] != 0 && int(most[0]) < cnsPIN.Max)
}

// maxDataField returns the largest data field that the reader takes, 0 if its properties do not
// say. A driver that reports 0 takes short commands only.
func maxDataField(properties []byte) int {
	size := property(properties, propertyMaxAPDU)
	if len(size) != 4 {
		return 0
	}
	// Values are little endian here, unlike the control codes of the feature list.
	if n := binary.LittleEndian.Uint32(size); n > 0 {
		return int(min(n, maxExtended+1))
	}
	return maxShort
}

// property returns the value of a tag in a list of one-byte tags and lengths.
func property(list []byte, tag byte) []byte {
	for len(list) >= 2 {
		n := int(list[1])
		if len(list) < 2+n {
			return nil
		}
		if list[0] == tag {
			return list[2 : 2+n]
		}
		list = list[2+n:]
	}
	return nil
}
