package dialog

import "golang.org/x/sys/unix"

const (
	getTermios        = unix.TCGETS
	setTermiosDiscard = unix.TCSETSF
)
