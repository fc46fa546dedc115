package trust

// hasACL is false: on macOS the bits of the group are no list's mask.
func hasACL(string) bool { return false }
