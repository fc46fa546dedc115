package browser

import (
	"errors"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/crs-bridge/crs"
)

// Parent is Program for the process that started another one. Chrome starts a native host through
// the command interpreter.
func Parent(pid int) string {
	for range 2 {
		parent, err := parent(uint32(pid))
		if err != nil {
			return crs.UnknownProgram
		}
		pid = int(parent)
		path, err := image(pid)
		if err != nil {
			return crs.UnknownProgram
		}
		if system, err := windows.GetSystemDirectory(); err != nil || !strings.EqualFold(path, filepath.Join(system, "cmd.exe")) {
			break
		}
	}
	return Program(pid)
}

func parent(pid uint32) (uint32, error) {
	all, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return 0, err
	}
	defer windows.CloseHandle(all)
	entry := windows.ProcessEntry32{}
	entry.Size = uint32(unsafe.Sizeof(entry))
	for err = windows.Process32First(all, &entry); err == nil; err = windows.Process32Next(all, &entry) {
		if entry.ProcessID == pid {
			return entry.ParentProcessID, nil
		}
	}
	return 0, errors.New("no such process")
}

// image returns the path of the file that a process runs.
func image(pid int) (string, error) {
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return "", err
	}
	defer windows.CloseHandle(process)
	b := make([]uint16, windows.MAX_LONG_PATH)
	n := uint32(len(b))
	if err := windows.QueryFullProcessImageName(process, 0, &b[0], &n); err != nil {
		return "", err
	}
	return windows.UTF16ToString(b[:n]), nil
}

// Program returns "" when a process runs a browser that the administrator installed, else the
// path of its file, or crs.UnknownProgram.
func Program(pid int) string {
	path, err := image(pid)
	if err != nil {
		return crs.UnknownProgram
	}
	file := strings.ToLower(filepath.Base(path))
	if !known(strings.TrimSuffix(file, ".exe")) {
		return path
	}
	for _, folder := range []*windows.KNOWNFOLDERID{windows.FOLDERID_ProgramFiles, windows.FOLDERID_ProgramFilesX86} {
		dir, err := windows.KnownFolderPath(folder, 0)
		if err == nil && dir != "" && len(path) > len(dir) && strings.EqualFold(path[:len(dir)+1], dir+`\`) {
			return ""
		}
	}
	return path
}
