package virtualcard

// command is a command APDU (ISO/IEC 7816-3, section 12.1).
type command struct {
	cla, ins, p1, p2 byte
	data             []byte
	le               int // bytes asked for, 0 if none
	extended         bool
}

// Instructions that the card knows.
const (
	insVerify                   = 0x20
	insManageEnvironment        = 0x22
	insChangeReferenceData      = 0x24
	insPerformSecurity          = 0x2A
	insResetRetryCounter        = 0x2C
	insGetChallenge             = 0x84
	insSelect                   = 0xA4
	insReadBinary               = 0xB0
	insGetResponse              = 0xC0
	claChained             byte = 0x10
)

// Status words (ISO/IEC 7816-4, section 5.6; the CNS functional specification).
const (
	swOK                 = 0x9000
	swEndOfFile          = 0x6282
	swWrong              = 0x6300 // and 63Cx: x tries left
	swMoreData           = 0x6100
	swWrongLe            = 0x6C00
	swLength             = 0x6700
	swLastOfChain        = 0x6883
	swNoChaining         = 0x6884
	swNotAllowed         = 0x6982 // security status
	swBlocked            = 0x6983
	swReferenceUnusable  = 0x6984
	swConditions         = 0x6985
	swNoCurrentEF        = 0x6986
	swData               = 0x6A80
	swFileNotFound       = 0x6A82
	swParameters         = 0x6A86
	swReferenceNotFound  = 0x6A88
	swOffset             = 0x6B00
	swInstruction        = 0x6D00
	swClass              = 0x6E00
	maxChainedData       = 4096
	maxShortLe           = 256
	maxExtendedLe        = 65536
	chainableInstruction = insPerformSecurity
)

// parseCommand reports whether b is a command APDU of any of the seven cases.
func parseCommand(b []byte) (c command, ok bool) {
	if len(b) < 4 {
		return command{}, false
	}
	c.cla, c.ins, c.p1, c.p2 = b[0], b[1], b[2], b[3]
	body := b[4:]
	switch {
	case len(body) == 0:
		return c, true
	case len(body) == 1:
		c.le = orMost(int(body[0]), maxShortLe)
		return c, true
	case body[0] != 0:
		lc := int(body[0])
		switch len(body) {
		case 1 + lc:
		case 1 + lc + 1:
			c.le = orMost(int(body[1+lc]), maxShortLe)
		default:
			return command{}, false
		}
		c.data = body[1 : 1+lc]
		return c, true
	case len(body) < 3:
		return command{}, false
	}
	c.extended = true
	n := int(body[1])<<8 | int(body[2])
	if len(body) == 3 {
		c.le = orMost(n, maxExtendedLe)
		return c, true
	}
	if n == 0 || len(body) != 3+n && len(body) != 3+n+2 {
		return command{}, false
	}
	c.data = body[3 : 3+n]
	if le := body[3+n:]; len(le) == 2 {
		c.le = orMost(int(le[0])<<8|int(le[1]), maxExtendedLe)
	}
	return c, true
}

func orMost(n, most int) int {
	if n == 0 {
		return most
	}
	return n
}
