package trust

import (
	"errors"

	"golang.org/x/sys/unix"
)

// hasACL reports whether a file has an access control list, or may have one (acl(5)).
func hasACL(path string) bool {
	_, err := unix.Lgetxattr(path, "system.posix_acl_access", nil)
	return !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP)
}
