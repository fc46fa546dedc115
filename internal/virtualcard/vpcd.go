package virtualcard

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"time"
)

// Control bytes of vpcd, the virtual reader of the vsmartcard project: a message of one byte is
// one of these, a longer one a command APDU. A message is its length, two bytes big-endian, and
// its content.
const (
	vpcdPowerOff = 0
	vpcdPowerOn  = 1
	vpcdReset    = 2
	vpcdATR      = 4
)

// ServeVPCD inserts the card into the slot of vpcd that listens on addr. If pcscd is not there, or
// is restarted, it tries again. It pulls the card and returns nil when the context ends, and
// returns crs.ErrCardRemoved if a fault pulled it.
func (c *Card) ServeVPCD(ctx context.Context, addr string) error {
	c.insert()
	const retry = 50 * time.Millisecond
	for ctx.Err() == nil {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			removed := c.serveVPCD(conn)
			stop()
			conn.Close()
			if removed != nil {
				return removed
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(retry):
		}
	}
	return nil
}

// serveVPCD answers until the connection ends. Its error says that the card is gone.
func (c *Card) serveVPCD(conn net.Conn) error {
	defer c.Reset() // no power
	for first := true; ; first = false {
		var length [2]byte
		if err := readQuick(conn, length[:]); err != nil {
			return nil
		}
		message := make([]byte, binary.BigEndian.Uint16(length[:]))
		if err := readQuick(conn, message); err != nil {
			return nil
		}
		if first && c.config.Inserted != nil {
			c.config.Inserted() // not earlier: a vpcd whose slot is full leaves others waiting
		}

		var response []byte
		if len(message) != 1 {
			var err error
			if response, err = c.Transmit(message); err != nil {
				return err
			}
		} else {
			switch message[0] {
			case vpcdPowerOff, vpcdPowerOn, vpcdReset:
				c.Reset()
				continue
			case vpcdATR:
				response = c.ATR()
			}
		}
		b := binary.BigEndian.AppendUint16(nil, uint16(len(response)))
		if _, err := conn.Write(append(b, response...)); err != nil {
			return nil
		}
	}
}

// readQuick fills b. vpcd sends length and content apart, and its kernel holds the second back
// until ours has acknowledged the first, which ours would delay by 40 ms. Asking it not to has no
// lasting effect, so it is asked after each read.
func readQuick(conn net.Conn, b []byte) error {
	_, err := io.ReadFull(conn, b)
	quickAck(conn)
	return err
}
