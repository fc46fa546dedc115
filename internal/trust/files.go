package trust

import "path/filepath"

// WritableError names the file or directory that others than administrators can change.
type WritableError struct{ Path string }

func (e *WritableError) Error() string {
	return e.Path + " can be changed by others than administrators"
}

// AdminOnly returns the file behind a path and all of its links. It returns an error, a
// WritableError among them, unless only administrators can change that file and every directory on
// the way to it. The caller opens what is returned and not the path: a link may lie where others
// can turn it to something else, and what was judged they cannot.
func AdminOnly(path string) (file string, err error) { return adminOnly(path, false) }

// AdminOnlyCode is AdminOnly for a program or a library: to its directory nobody else may add a file
// either, for what is added may be loaded with it.
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
