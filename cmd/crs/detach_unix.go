//go:build unix

package main

import "syscall"

// onItsOwn is for a child that outlives this program and its terminal.
func onItsOwn() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
