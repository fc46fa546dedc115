package pkcs11

import (
	"encoding/binary"
	"os"
	"strings"
)

// unused turns a failure to load into the reason that the user sees. The words are those of glibc
// and macOS, the numbers those of Windows; anything else stays as it is.
func (f *failure) unused() *Unused {
	if f.Call != callLoad {
		return &Unused{Failed, f.Error()}
	}
	for _, known := range []struct {
		words string
		why   Why
	}{
		{foreignText, Machine},
		{"wrong ELF class", Machine},
		{"incompatible architecture", Machine},
		{"error 193", NotPKCS11},
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

const foreignText = "made for another machine"

// loadFailure says why the loader refused a module, from its message. Whether it was built for
// another machine is read from its header: glibc only notices another word size, and Windows has
// one number for that and for a file that is no library.
func loadFailure(path, why string) *failure {
	if self, err := os.Executable(); err == nil {
		module, own := machineOf(path), machineOf(self)
		if module != "" && own != "" && module != own {
			why = foreignText
		}
	}
	return &failure{Call: callLoad, Text: why}
}

// machineOf returns what the header of a program or library says about the machine that it was
// built for, "" without such a header: class and machine (ELF specification, figure 1-3), or the
// machine (PE format, "MS-DOS stub" and "COFF file header").
func machineOf(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	var head [64]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return ""
	}
	if string(head[:4]) == "\x7fELF" {
		return string(head[4:5]) + string(head[18:20])
	}
	if string(head[:2]) != "MZ" {
		return ""
	}
	var coff [6]byte
	if _, err := f.ReadAt(coff[:], int64(binary.LittleEndian.Uint32(head[60:]))); err != nil || string(coff[:4]) != "PE\x00\x00" {
		return ""
	}
	return string(coff[:])
}
