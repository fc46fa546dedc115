package trust

import "path/filepath"

// WritableError names a file or directory that somebody other than administrators can change.
type WritableError struct{ Path string }

func (e *WritableError) Error() string {
	return e.Path + " can be changed by others than administrators"
}

// AdminOnly returns the file behind a path and all of its links. It returns an error, a
// WritableError among them, unless only administrators can change that file and every directory on
// the way to it. Open the returned file and not the path: others may be able to redirect a link on
// the way, but cannot touch the file that was checked.
func AdminOnly(path string) (file string, err error) { return adminOnly(path, false) }

// AdminOnlyCode is AdminOnly for a program or a library: nobody else may add a file to its
// directory either, because that may be loaded with it.
func AdminOnlyCode(path string) (file string, err error) { return adminOnly(path, true) }

func adminOnly(path string, code bool) (string, error) {
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	if file, err = filepath.Abs(file); err != nil {
		return "", err
	}
	for at := file; ; at = filepath.Dir(at) {
		ok, err := onlyAdmins(at, code && at == filepath.Dir(file))
		if err != nil {
			return "", err
		}
		if !ok {
			return "", &WritableError{at}
		}
		if at == filepath.Dir(at) {
			return file, nil
		}
	}
}
