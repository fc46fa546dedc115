package virtualcard

import (
	"slices"

	"github.com/crs-bridge/crs"
)

// Fault is something that goes wrong.
type Fault struct {
	INS byte // of the command; 0: of any
	At  int  // the nth such command from Inject on, the first is 1; 0: each of them

	// After lets the card process the command first: a wrong PIN is counted.
	After bool

	Remove  bool            // the card is pulled, until it is inserted again
	Mute    bool            // no bytes come back
	SW      uint16          // this status word comes back, without data
	Corrupt bool            // a bit of the response data is wrong
	Hang    <-chan struct{} // the card answers when this is closed
}

type armedFault struct {
	Fault
	seen int
}

// Inject replaces the faults that the card has ahead of it.
func (c *Card) Inject(faults ...Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = nil
	for _, f := range faults {
		c.faults = append(c.faults, &armedFault{Fault: f})
	}
}

// wait hangs, before or after the command was processed.
func (f Fault) wait(after bool) {
	if f.Hang != nil && f.After == after {
		<-f.Hang
	}
}

// Exchange is one command and its response, without their data.
type Exchange struct {
	CLA, INS, P1, P2 byte
	Sent, Received   int    // bytes, with header and status word
	SW               uint16 // 0: none came back, or not yet
	Secret           bool   // it carried a PIN or PUK
}

// carriesSecret reports whether a command's data include a PIN or PUK.
func carriesSecret(command []byte) bool {
	return len(command) > 5 && slices.Contains([]byte{insVerify, insChangeReferenceData, insResetRetryCounter}, command[1])
}

// arrive logs a command and finds the fault that is due with it.
func (c *Card) arrive(command []byte) (x *Exchange, f Fault, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil, Fault{}, crs.ErrCardRemoved
	}
	c.resetMeanwhile = false
	x = &Exchange{Sent: len(command), Secret: carriesSecret(command)}
	if len(command) >= 4 {
		x.CLA, x.INS, x.P1, x.P2 = command[0], command[1], command[2], command[3]
	}
	c.log = append(c.log, x)
	for _, a := range c.faults {
		if a.INS != 0 && a.INS != x.INS {
			continue
		}
		if a.seen++; a.At == 0 || a.At == a.seen {
			f = a.Fault
		}
	}
	return x, f, nil
}

// leave logs the response. A reader resets a card only when the command on its way is done.
func (c *Card) leave(x *Exchange, response []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resetMeanwhile {
		c.reset()
	}
	if x.Received = len(response); x.Received >= 2 {
		x.SW = uint16(response[x.Received-2])<<8 | uint16(response[x.Received-1])
	}
}

// Log returns what the card was sent and answered, since it was made or since Forget.
func (c *Card) Log() []Exchange {
	c.mu.Lock()
	defer c.mu.Unlock()
	log := make([]Exchange, len(c.log))
	for i, x := range c.log {
		log[i] = *x
	}
	return log
}

// Forget empties the log.
func (c *Card) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = nil
}

// Count returns how many commands of an instruction the log holds.
func (c *Card) Count(ins byte) int {
	n := 0
	for _, x := range c.Log() {
		if x.INS == ins {
			n++
		}
	}
	return n
}

// Secrets returns how many commands in the log carried a PIN or PUK.
func (c *Card) Secrets() int {
	n := 0
	for _, x := range c.Log() {
		if x.Secret {
			n++
		}
	}
	return n
}

// Bytes returns how many bytes the log's commands and responses had, status words included.
func (c *Card) Bytes() int {
	n := 0
	for _, x := range c.Log() {
		n += x.Sent + x.Received
	}
	return n
}
