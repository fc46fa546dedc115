package main

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// onItsOwn lets a child outlive this program and its console.
func onItsOwn() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP, HideWindow: true}
}
