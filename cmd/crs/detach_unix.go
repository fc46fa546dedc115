//go:build unix

package main

import "syscall"

// onItsOwn lets a child outlive this program and its terminal.
func onItsOwn() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
