// Package virtualcard is a CNS in memory: files, PIN and PUK with their counters, and an RSA
// key, behind command and response APDUs. It has a throw-away CA and an invented person.
//
// A [Reader] offers it to the card driver directly; ServeVPCD inserts it into a real pcscd. A
// [Config] makes it any of the known models, or one that misbehaves; [Card.Inject] makes it
// fail at a chosen moment. It counts everything that it is sent.
//
// OpenSC judges it: what OpenSC accepts is a CNS.
package virtualcard

import (
	"crypto/rsa"
	"fmt"
	"sync"
	"time"

	"github.com/crs-bridge/crs"
)

// PIN and PUK of a card whose Config names none.
const (
	DefaultPIN = "12345"
	DefaultPUK = "87654321"
)

// Config describes a card. The zero value is a healthy one of the first profile.
type Config struct {
	Profile string  // name of one of Profiles, "" is the first
	Person  *Person // nil: the shared person with a key of the profile's size

	PIN, PUK           string // "": DefaultPIN, DefaultPUK
	PINTries, PUKTries int    // 0: three

	// Refuse replaces the profile's list when it is not nil.
	Refuse map[Feature]uint16
	// PINReference replaces the profile's when it is not 0.
	PINReference byte
	// WrongReference answers the other PIN reference; 0 is 6A88.
	WrongReference uint16

	NoCount          bool // answers 6300 to a wrong PIN, not 63Cx
	CountEmptyVerify bool // counts a VERIFY without data as a wrong PIN
	SelectForgetsPIN bool // a SELECT ends what a VERIFY allowed

	// Decoy puts a second PIN 10h into the signature DF 1400, which a search upwards from
	// there meets first.
	Decoy bool
	// Foreign makes it another product with the ATR of a CNS.
	Foreign Foreign

	// Files replaces the content of files, by path ("1100/1102"); nil content removes one.
	Files map[string][]byte

	Latency Latency

	// Inserted, if not nil, is called when vpcd has taken the card, and again after each restart.
	Inserted func()
}

// Foreign is a card that is not a CNS although its ATR says so.
type Foreign int

// Foreign cards.
const (
	NotForeign  Foreign = iota
	ForeignBare         // no file and no PIN that a CNS has
	ForeignIAS          // no file of a CNS, but a PIN that answers to both references
)

// Latency makes a card slow. The zero value costs no time.
type Latency struct {
	Byte   time.Duration // each byte of command and response
	Verify time.Duration // each command that carries a PIN or PUK
	Sign   time.Duration // each signature
}

// TraceLatency is a real card in a real reader: the time a byte takes was measured, the others
// are guesses.
var TraceLatency = Latency{Byte: 400 * time.Microsecond, Verify: 40 * time.Millisecond, Sign: 450 * time.Millisecond}

// Card is one card. Its methods are safe for concurrent use; commands are processed one at a
// time.
type Card struct {
	config  Config
	profile Profile
	person  *Person
	key     *rsa.PrivateKey

	io sync.Mutex // held while a command is on its way, also while it hangs

	mu    sync.Mutex // guards what follows
	mf    *file
	pin   *secret
	puk   *secret
	decoy *secret // nil: none
	state volatile
	gone  bool // pulled by a fault
	// resetMeanwhile says that Reset was called while a command was on its way.
	resetMeanwhile bool
	faults         []*armedFault
	log            []*Exchange
}

// volatile is what a reset clears.
type volatile struct {
	dir, ef     *file // current DF; current EF or nil
	environment environment
	chain       []byte  // data of a chain that is not complete
	chainHead   command // its first command
	pending     []byte  // what GET RESPONSE will return, on T=0
}

// New makes a card. An unknown profile is a programming error: it panics.
func New(c Config) *Card {
	profile, ok := ProfileByName(c.Profile)
	if !ok {
		panic(fmt.Sprintf("virtualcard: no profile %q", c.Profile))
	}
	if c.Person == nil {
		c.Person = Shared(profile.Bits)
	}
	if c.PIN == "" {
		c.PIN = DefaultPIN
	}
	if c.PUK == "" {
		c.PUK = DefaultPUK
	}
	if c.Refuse == nil {
		c.Refuse = profile.Refuse
	}
	if c.PINReference == 0 {
		c.PINReference = profile.PINReference
	}
	if c.WrongReference == 0 {
		c.WrongReference = swReferenceNotFound
	}
	card := &Card{
		config: c, profile: profile, person: c.Person, key: c.Person.Key,
		pin: newSecret(c.PIN, c.PINTries), puk: newSecret(c.PUK, c.PUKTries),
	}
	card.mf = card.fileSystem()
	card.placeSecrets()
	card.reset()
	return card
}

// Person returns the card's holder.
func (c *Card) Person() *Person { return c.person }

// ATR returns the answer to reset.
func (c *Card) ATR() []byte { return c.profile.ATR }

// Protocol returns 0 or 1, for T=0 or T=1.
func (c *Card) Protocol() int { return c.profile.Protocol }

// Tries returns how many tries PIN and PUK have left.
func (c *Card) Tries() (pin, puk int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pin.tries, c.puk.tries
}

// DecoyTries returns how many tries the decoy PIN has left; without a decoy -1.
func (c *Card) DecoyTries() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.decoy == nil {
		return -1
	}
	return c.decoy.tries
}

// Reset does what a reset or a loss of power does.
func (c *Card) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resetMeanwhile = true
	c.reset()
}

func (c *Card) reset() {
	c.state = volatile{dir: c.mf}
	for _, s := range []*secret{c.pin, c.puk, c.decoy} {
		if s != nil {
			s.verified = false
		}
	}
}

// insert puts a card that a fault had pulled back into play.
func (c *Card) insert() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = false
	c.reset()
}

// Transmit processes a command APDU. It returns crs.ErrCardRemoved once a fault has pulled the
// card, and no bytes if a fault says so; else at least the status word.
func (c *Card) Transmit(command []byte) ([]byte, error) {
	c.io.Lock()
	defer c.io.Unlock()
	x, fault, err := c.arrive(command)
	if err != nil {
		return nil, err
	}
	fault.wait(false)
	response, err := c.answer(command, fault)
	fault.wait(true)
	c.leave(x, response)
	c.delay(command, response)
	return response, err
}

// answer processes the command unless the fault prevents it.
func (c *Card) answer(command []byte, f Fault) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Remove && !f.After {
		c.gone = true
		return nil, crs.ErrCardRemoved
	}
	var response []byte
	if f.After || !f.Mute && f.SW == 0 {
		response = c.process(command)
	}
	switch {
	case f.Remove:
		c.gone = true
		return nil, crs.ErrCardRemoved
	case f.Mute:
		return nil, nil
	case f.SW != 0:
		return []byte{byte(f.SW >> 8), byte(f.SW)}, nil
	case f.Corrupt && len(response) > 2:
		response[0] ^= 0x01
	}
	return response, nil
}

func (c *Card) delay(command, response []byte) {
	l := c.config.Latency
	d := time.Duration(len(command)+len(response)) * l.Byte
	if carriesSecret(command) {
		d += l.Verify
	}
	if len(command) > 1 && command[0] != claChained && command[1] == insPerformSecurity {
		d += l.Sign
	}
	time.Sleep(d)
}

// process turns a command APDU into a response APDU of at least two bytes.
func (c *Card) process(b []byte) []byte {
	cmd, ok := parseCommand(b)
	if !ok {
		return status(nil, swLength)
	}
	if sw, refused := c.config.Refuse[ExtendedAPDU]; refused && cmd.extended {
		return status(nil, sw)
	}
	if cmd.ins != insGetResponse {
		c.state.pending = nil
	}
	data, sw := c.chained(cmd)
	return c.respond(cmd, data, sw)
}

// chained collects the parts of a chained command, and executes it when it is complete.
func (c *Card) chained(cmd command) (data []byte, sw uint16) {
	s := &c.state
	switch cmd.cla {
	case 0x00:
		if s.chain == nil {
			return c.execute(cmd)
		}
		if cmd.ins == s.chainHead.ins && cmd.p1 == s.chainHead.p1 && cmd.p2 == s.chainHead.p2 {
			cmd.data = append(s.chain, cmd.data...)
			s.chain = nil
			return c.execute(cmd)
		}
		s.chain = nil
		return nil, swLastOfChain
	case claChained:
		if sw, refused := c.config.Refuse[Chaining]; refused {
			return nil, sw
		}
		if cmd.ins != chainableInstruction {
			return nil, swNoChaining
		}
		if len(s.chain)+len(cmd.data) > maxChainedData {
			s.chain = nil
			return nil, swLength
		}
		if s.chain == nil {
			s.chain, s.chainHead = []byte{}, cmd
		}
		s.chain = append(s.chain, cmd.data...)
		return nil, swOK
	}
	return nil, swClass
}

func (c *Card) execute(cmd command) (data []byte, sw uint16) {
	switch cmd.ins {
	case insSelect:
		return c.selectFile(cmd)
	case insReadBinary:
		return c.readBinary(cmd)
	case insVerify:
		return nil, c.verify(cmd)
	case insChangeReferenceData:
		return nil, c.changeReferenceData(cmd)
	case insResetRetryCounter:
		return nil, c.resetRetryCounter(cmd)
	case insManageEnvironment:
		return nil, c.manageEnvironment(cmd)
	case insPerformSecurity:
		return c.performSecurityOperation(cmd)
	case insGetChallenge:
		return c.getChallenge(cmd)
	case insGetResponse:
		if c.profile.Protocol == 0 {
			return c.getResponse(cmd)
		}
	}
	return nil, swInstruction
}

// respond fits the response data to what the command asked for.
func (c *Card) respond(cmd command, data []byte, sw uint16) []byte {
	switch {
	case len(data) == 0:
		return status(nil, sw)
	case c.profile.Protocol == 0 && cmd.data != nil:
		// A T=0 command moves data in one direction only: the response is fetched by another.
		c.state.pending = data
		return status(nil, swMoreData|uint16(len(data)&0xff))
	case cmd.le == 0:
		return status(nil, sw)
	case cmd.le < len(data):
		return status(nil, swWrongLe|uint16(len(data)&0xff))
	}
	return status(data, sw)
}

func (c *Card) getResponse(cmd command) (data []byte, sw uint16) {
	pending := c.state.pending
	switch {
	case len(pending) == 0:
		return nil, swConditions
	case cmd.le > len(pending):
		return nil, swWrongLe | uint16(len(pending)&0xff)
	case cmd.le < len(pending):
		c.state.pending = pending[cmd.le:]
		return pending[:cmd.le], swMoreData | uint16(len(c.state.pending)&0xff)
	}
	c.state.pending = nil
	return pending, swOK
}

func status(data []byte, sw uint16) []byte {
	return append(append([]byte(nil), data...), byte(sw>>8), byte(sw))
}
