package browser

import "github.com/crs-bridge/crs"

// Parent cannot tell what started a process.
func Parent(int) string { return crs.UnknownProgram }
