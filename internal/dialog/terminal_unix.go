//go:build linux || darwin

package dialog

import "golang.org/x/sys/unix"

// hideInput makes a terminal not show what is typed. The function that it returns shows it
// again, and drops the part of a line that nobody waits for any more: half a PIN is no answer to
// the next question.
func hideInput(fd int) (show func(), err error) {
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, setTermiosDiscard, &hidden); err != nil {
		return nil, err
	}
	return func() { unix.IoctlSetTermios(fd, setTermiosDiscard, before) }, nil
}

// discardInput drops what was typed but not read.
func discardInput(fd int) {
	if t, err := unix.IoctlGetTermios(fd, getTermios); err == nil {
		unix.IoctlSetTermios(fd, setTermiosDiscard, t)
	}
}
