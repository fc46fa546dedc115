package pkcs11

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

var kept = []string{"HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "__CF_USER_TEXT_ENCODING"}

func ownProgram() (string, error) { return os.Executable() }

func workerDir() string { return "/" }

// workerAttributes: the end of its input tells a worker that its parent has gone. It leads a
// process group, so that its own children end with it and no Ctrl-C in a terminal reaches it.
func workerAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func confine(*os.Process) error { return nil }

// memoryOf returns 0: without cgo it cannot be determined.
func memoryOf(*os.Process) int64 { return 0 }

func confineSelf() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }
