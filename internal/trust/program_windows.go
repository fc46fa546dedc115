package trust

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// SameProgram returns an error unless the other end of a pipe runs the same executable as this
// process, or the other one of the two that are installed together: service and tray are the
// program without a console, a native host is the one with it.
func SameProgram(conn net.Conn) error {
	process, err := openPeer(conn)
	if err != nil {
		return err
	}
	defer windows.CloseHandle(process)
	path, err := image(process)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	err = sameFile(path, self)
	if errors.Is(err, errOtherFile) && filepath.Dir(path) == filepath.Dir(self) && isOurs(path) && isOurs(self) {
		return nil
	}
	return err
}

// isOurs reports whether a file has the name of the program with or without a console.
func isOurs(path string) bool {
	name := strings.ToLower(filepath.Base(path))
	return name == "crs.exe" || name == "crsw.exe"
}

// image returns the path of the file that a process runs.
func image(process windows.Handle) (string, error) {
	b := make([]uint16, windows.MAX_LONG_PATH)
	n := uint32(len(b))
	if err := windows.QueryFullProcessImageName(process, 0, &b[0], &n); err != nil {
		return "", err
	}
	return windows.UTF16ToString(b[:n]), nil
}
