//go:build unix

package pkcs11

import (
	"os"
	"runtime"
	"syscall"
)

// onlyAdmins reports whether a file or directory belongs to root and is writable by nobody else.
// An access control list shows in the bits of the group: they are its mask. On macOS the group
// admin is made of administrators. Whoever may add a file to a directory can replace what is there,
// too.
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
	return info.Mode().Perm()&0o020 == 0 || s.Gid == 0 || runtime.GOOS == "darwin" && s.Gid == admin, nil
}
