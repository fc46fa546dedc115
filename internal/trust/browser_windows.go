package trust

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

func browserOf(conn net.Conn) (string, error) {
	pid, err := peerOf(conn)
	if err != nil {
		return "", err
	}
	path := ""
	if _, _, tcp := tcpEnds(conn); tcp {
		path, err = imageOf(pid)
	} else {
		path, err = starter(pid)
	}
	if err != nil {
		return "", err
	}
	return program(path), nil
}

// starter returns what started a process. Chrome starts a native host through the command
// interpreter.
func starter(pid uint32) (path string, err error) {
	for range 2 {
		if pid, err = parent(pid); err != nil {
			return "", err
		}
		if path, err = imageOf(pid); err != nil {
			return "", err
		}
		if system, err := windows.GetSystemDirectory(); err != nil || !strings.EqualFold(path, filepath.Join(system, "cmd.exe")) {
			break
		}
	}
	return path, nil
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

// imageOf returns the path of the file that a process runs.
func imageOf(pid uint32) (string, error) {
	process, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return "", err
	}
	defer windows.CloseHandle(process)
	return image(process)
}

// program returns "" for a browser that an administrator installed, else the path itself. Only
// administrators can write to the program folders, and the path comes from Windows.
func program(path string) string {
	file := strings.ToLower(filepath.Base(path))
	if !isBrowser(strings.TrimSuffix(file, ".exe")) {
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
