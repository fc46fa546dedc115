//go:build unix

package trust

import (
	"os"
	"runtime"
	"syscall"
)

// onlyAdmins reports whether a file or directory belongs to root and nobody but root and
// administrators may write to it. A user who may add a file to a directory can also replace the
// files in it.
//
// The group may write if it is root's own: packages built with the usual umask of Ubuntu, 002,
// install directories and libraries as root:root 0775, and only an administrator can put anybody in
// that group. But on Linux the group bits are the mask of an access control list, if there is one,
// and that can admit anybody. On macOS /Applications and much of /Library are root:admin 0775, and
// the group admin is made of administrators.
func onlyAdmins(path string, _ bool) (bool, error) {
	const admin = 80
	info, err := os.Lstat(path)
	if err != nil {
		return false, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || s.Uid != 0 || info.Mode().Perm()&0o002 != 0 {
		return false, nil
	}
	if info.Mode().Perm()&0o020 == 0 {
		return true, nil
	}
	return (s.Gid == 0 || runtime.GOOS == "darwin" && s.Gid == admin) && !hasACL(path), nil
}
