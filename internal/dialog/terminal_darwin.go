package dialog

import "golang.org/x/sys/unix"

const (
	getTermios        = unix.TIOCGETA
	setTermiosDiscard = unix.TIOCSETAF
)
