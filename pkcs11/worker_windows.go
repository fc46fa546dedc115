package pkcs11

import (
	"os"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// kept are the variables that a worker gets. Where DLLs are looked for is not among them.
var kept = []string{"SystemRoot", "SystemDrive", "windir", "ProgramData", "ProgramFiles", "USERNAME",
	"USERPROFILE", "APPDATA", "LOCALAPPDATA", "TEMP", "TMP"}

func systemDir() string {
	dir, err := windows.GetSystemDirectory()
	if err != nil {
		return `C:\Windows\System32`
	}
	return dir
}

func workerDir() string { return systemDir() }

func workerAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{HideWindow: true} }

// confine puts a worker into a job of its own, which ends it with this program and bounds its
// memory.
func confine(p *os.Process) error {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return err
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{ProcessMemoryLimit: maxMemory}
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | windows.JOB_OBJECT_LIMIT_PROCESS_MEMORY
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits)))
	if err != nil {
		windows.CloseHandle(job)
		return err
	}
	const rights = windows.PROCESS_SET_QUOTA | windows.PROCESS_TERMINATE | windows.SYNCHRONIZE
	process, err := windows.OpenProcess(rights, false, uint32(p.Pid))
	if err != nil {
		windows.CloseHandle(job)
		return err
	}
	if err := windows.AssignProcessToJobObject(job, process); err != nil {
		windows.CloseHandle(process)
		windows.CloseHandle(job)
		return err
	}
	go func() { // the job lives as long as its handle
		windows.WaitForSingleObject(process, windows.INFINITE)
		windows.CloseHandle(process)
		windows.CloseHandle(job)
	}()
	return nil
}

// memoryOf is not asked: the job bounds it.
func memoryOf(*os.Process) int64 { return 0 }

// confineSelf leaves the search for DLLs to the system's directory and the module's own, and shows
// no window when the module crashes.
func confineSelf() error {
	windows.SetErrorMode(windows.SEM_FAILCRITICALERRORS | windows.SEM_NOGPFAULTERRORBOX)
	return windows.SetDllDirectory("")
}

// takeStdio takes stdin and stdout away from the module.
func takeStdio() (in, out *os.File, err error) {
	in, out = os.Stdin, os.Stdout
	if err := windows.SetStdHandle(windows.STD_INPUT_HANDLE, 0); err != nil {
		return nil, nil, err
	}
	stderr, err := windows.GetStdHandle(windows.STD_ERROR_HANDLE)
	if err != nil {
		return nil, nil, err
	}
	return in, out, windows.SetStdHandle(windows.STD_OUTPUT_HANDLE, stderr)
}

// environment is what a worker gets of this program's.
func environment(getenv func(string) string) []string {
	system := systemDir()
	env := []string{"PATH=" + system + ";" + filepath.Dir(system)}
	for _, name := range kept {
		if value := getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}
