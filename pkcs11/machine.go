package pkcs11

import (
	"io"
	"os"
	"runtime"
	"strings"
)

// loadFailure says why the loader refused a module, from its message.
func loadFailure(why string) *failure {
	return &failure{Call: callLoad, Text: why}
}

// unused turns a failure to load into the reason that a user is told. The words are glibc's and
// macOS's, the numbers those of Windows; what is not known stays as it is.
func (f *failure) unused() *Unused {
	if f.Call != callLoad {
		return &Unused{Failed, f.Error()}
	}
	for _, known := range []struct {
		words string
		why   Why
	}{
		{errMachine.Text, Machine},
		{"wrong ELF class", Machine},
		{"incompatible architecture", Machine},
		{"error 193", Machine},
		{"invalid ELF header", NotPKCS11},
		{"file too short", NotPKCS11},
		{"not a mach-o file", NotPKCS11},
		{"no C_GetFunctionList", NotPKCS11},
		{"cannot open shared object file", Dependency},
		{"Library not loaded", Dependency},
		{"error 126", Dependency},
	} {
		if !strings.Contains(f.Text, known.words) {
			continue
		}
		if known.why == Dependency {
			library, _, _ := strings.Cut(f.Text, ": cannot open")
			return &Unused{Dependency, library}
		}
		return &Unused{Why: known.why}
	}
	return &Unused{Failed, f.Text}
}

var errMachine = &failure{Call: callLoad, Text: "made for another machine"}

// foreignMachine returns an error for a library of Linux that is made for another machine: the
// loader names only one of another word size. Both headers are compared at class and machine
// (ELF specification, figure 1-3).
func foreignMachine(path string) error {
	if runtime.GOOS != "linux" {
		return nil
	}
	library, err := elfHeader(path)
	if err != nil {
		return &failure{Call: callLoad, Text: clip(err.Error())}
	}
	own, err := elfHeader("/proc/self/exe")
	if err != nil || string(library[:4]) != "\x7fELF" {
		return nil // the loader says what it is
	}
	if library[4] != own[4] || library[18] != own[18] || library[19] != own[19] {
		return errMachine
	}
	return nil
}

func elfHeader(path string) (head [20]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return head, err
	}
	defer f.Close()
	_, err = io.ReadFull(f, head[:])
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil // shorter than a library: the loader says so
	}
	return head, err
}
