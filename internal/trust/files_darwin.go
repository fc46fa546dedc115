package trust

// hasACL is false: on macOS the group bits are not the mask of a list.
func hasACL(string) bool { return false }
