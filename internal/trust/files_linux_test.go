package trust

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// TestAdminOnly: each row changes one thing on the way to dir/lib/file, which only administrators
// can change before.
func TestAdminOnly(t *testing.T) {
	ns.Need(t)
	ns.NeedUsers(t)
	own := func(uid, gid int, mode os.FileMode) func(string) error {
		return func(path string) error { return errors.Join(os.Chown(path, uid, gid), os.Chmod(path, mode)) }
	}
	for _, test := range []struct {
		name   string
		at     string // what is changed, below dir
		change func(path string) error
		path   string // what is asked for, below dir; "" is lib/file
		refuse string // what is refused, below dir; "" is nothing
	}{
		{"file of root", "lib/file", own(0, 0, 0o644), "", ""},
		{"file of a user", "lib/file", own(1234, 0, 0o644), "", "lib/file"},
		{"file of a system user", "lib/file", own(1, 0, 0o644), "", "lib/file"},
		{"file that anybody can write", "lib/file", own(0, 0, 0o646), "", "lib/file"},
		{"file that root's group can write", "lib/file", own(0, 0, 0o664), "", ""},
		{"file that staff can write", "lib/file", own(0, 50, 0o664), "", "lib/file"},
		{"file that macOS's admin could write", "lib/file", own(0, 80, 0o664), "", "lib/file"},
		{"file that staff can read", "lib/file", own(0, 50, 0o640), "", ""},
		{"file with a list that lets a user write", "lib/file", grant(1234, 6), "", "lib/file"},
		{"file with a list that lets a user read", "lib/file", grant(1234, 4), "", ""},

		{"directory of a user", "lib", own(1234, 0, 0o755), "", "lib"},
		{"directory that anybody can write", "lib", own(0, 0, 0o777), "", "lib"},
		{"directory as /tmp is", "lib", own(0, 0, 0o777|os.ModeSticky), "", "lib"},
		{"directory that root's group can write", "lib", own(0, 0, 0o775), "", ""},
		{"directory as old Debian's /usr/local/lib is", "lib", own(0, 50, 0o775|os.ModeSetgid), "", "lib"},
		{"directory with a list that lets a user write", "lib", grant(1234, 7), "", "lib"},
		{"directory above", ".", own(0, 0, 0o777), "", "."},

		{"link where only root can write", "links", own(0, 0, 0o755), "links/link", ""},
		{"link that leads to a user's file", "lib/file", own(1234, 0, 0o644), "links/link", "lib/file"},
		{"link that leads to a user's directory", "lib", own(1234, 0, 0o755), "links/link", "lib"},
		// What is returned is the file behind it, so that turning the link changes nothing.
		{"link where a user can write", "links", own(1234, 0, 0o755), "links/link", ""},
		{"way back out of a user's directory", "links", own(1234, 0, 0o755), "links/../lib/file", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, err := os.MkdirTemp(ns.Modules, "files")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/lib", 0o755), os.Mkdir(dir+"/links", 0o755),
				os.WriteFile(dir+"/lib/file", nil, 0o644), os.Symlink("../lib/file", dir+"/links/link"),
				test.change(filepath.Join(dir, test.at))); err != nil {
				t.Fatal(err)
			}
			path := "lib/file"
			if test.path != "" {
				path = test.path
			}
			for name, judge := range map[string]func(string) (string, error){"AdminOnly": AdminOnly, "AdminOnlyCode": AdminOnlyCode} {
				file, err := judge(dir + "/" + path)
				var writable *WritableError
				switch {
				case test.refuse == "" && (err != nil || file != dir+"/lib/file"):
					t.Errorf("%s: %q %v", name, file, err)
				case test.refuse != "" && (!errors.As(err, &writable) || writable.Path != filepath.Join(dir, test.refuse) || file != ""):
					t.Errorf("%s: %q %v, not for %s", name, file, err, test.refuse)
				}
			}
		})
	}
	if file, err := AdminOnly(ns.Modules + "/none"); !errors.Is(err, fs.ErrNotExist) || file != "" {
		t.Errorf("a file that is not there: %q %v", file, err)
	}
}

// grant gives a user rights to a file by an access control list, whose mask then shows where the
// bits of root's group were (linux/posix_acl_xattr.h).
func grant(uid uint32, rights uint16) func(path string) error {
	return func(path string) error {
		const owner, user, group, mask, other, none = 1, 2, 4, 16, 32, 0xffffffff
		list := binary.LittleEndian.AppendUint32(nil, 2)
		for _, entry := range []struct {
			tag, rights uint16
			id          uint32
		}{{owner, 7, none}, {user, rights, uid}, {group, 5, none}, {mask, rights, none}, {other, 5, none}} {
			list = binary.LittleEndian.AppendUint16(list, entry.tag)
			list = binary.LittleEndian.AppendUint16(list, entry.rights)
			list = binary.LittleEndian.AppendUint32(list, entry.id)
		}
		return unix.Setxattr(path, "system.posix_acl_access", list, 0)
	}
}
