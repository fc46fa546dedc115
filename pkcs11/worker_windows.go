package pkcs11

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// kept are the variables that a worker gets. The search path for DLLs is not among them.
var kept = []string{"SystemRoot", "SystemDrive", "windir", "ProgramData", "ProgramFiles", "USERNAME",
	"USERPROFILE", "APPDATA", "LOCALAPPDATA", "TEMP", "TMP"}

func systemDir() string {
	dir, err := windows.GetSystemDirectory()
	if err != nil {
		return `C:\Windows\System32`
	}
	return dir
}

// ownProgram needs no more: Windows does not let a running program be replaced.
func ownProgram() (string, error) { return os.Executable() }

func workerDir() string { return systemDir() }

func workerAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{HideWindow: true} }

// confine puts a worker into a job object, which ends it with this program and bounds its memory.
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

// endRest has nothing to do: the job ends what a worker leaves behind.
func endRest(*os.Process) {}

// memoryOf returns 0: the job bounds it.
func memoryOf(*os.Process) int64 { return 0 }

// confineSelf restricts the search for DLLs to the system's directory and the module's own, and
// shows no window when the module crashes.
func confineSelf() error {
	windows.SetErrorMode(windows.SEM_FAILCRITICALERRORS | windows.SEM_NOGPFAULTERRORBOX)
	return windows.SetDllDirectory("")
}

// pipesVariable tells a worker the handles of its pipes.
const pipesVariable = "CRS_WORKER_PIPES"

// givePipes gives a worker its pipes beside stdin and stdout. Each C runtime in a process takes
// those when it is loaded and keeps them, so that they cannot be taken away from a module later:
// what it prints would be in the replies.
func givePipes(cmd *exec.Cmd, requests, replies *os.File) error {
	for _, f := range []*os.File{requests, replies} {
		handle := f.Fd()
		if err := windows.SetHandleInformation(windows.Handle(handle), windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT); err != nil {
			return err
		}
		cmd.SysProcAttr.AdditionalInheritedHandles = append(cmd.SysProcAttr.AdditionalInheritedHandles, syscall.Handle(handle))
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d,%d", pipesVariable, requests.Fd(), replies.Fd()))
	cmd.Stdout = cmd.Stderr
	return nil
}

// takePipes takes the pipes, which no program that the module may start gets.
func takePipes() (in, out *os.File, err error) {
	var requests, replies windows.Handle
	if _, err := fmt.Sscanf(os.Getenv(pipesVariable), "%d,%d", &requests, &replies); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", pipesVariable, err)
	}
	for _, handle := range []windows.Handle{requests, replies} {
		if err := windows.SetHandleInformation(handle, windows.HANDLE_FLAG_INHERIT, 0); err != nil {
			return nil, nil, err
		}
	}
	return os.NewFile(uintptr(requests), "requests"), os.NewFile(uintptr(replies), "replies"), os.Unsetenv(pipesVariable)
}

// environment is the part of this program's environment that a worker gets.
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
