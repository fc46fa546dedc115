package dialog

import "golang.org/x/sys/windows"

// hideInput makes a console not show what is typed. The function that it returns shows it
// again, and drops the part of a line that nobody waits for any more.
func hideInput(fd int) (show func(), err error) {
	console := windows.Handle(fd)
	var before uint32
	if err := windows.GetConsoleMode(console, &before); err != nil {
		return nil, err
	}
	if err := windows.SetConsoleMode(console, before&^windows.ENABLE_ECHO_INPUT); err != nil {
		return nil, err
	}
	return func() {
		discardInput(fd)
		windows.SetConsoleMode(console, before)
	}, nil
}

// discardInput drops what was typed but not read.
func discardInput(fd int) { windows.FlushConsoleInputBuffer(windows.Handle(fd)) }
