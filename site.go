package crs

// SiteState is what the user decided about a site.
type SiteState string

// States of a site.
const (
	SiteUnknown SiteState = ""
	SiteAllowed SiteState = "allowed"
	SiteBlocked SiteState = "blocked"
)

// UnknownProgram stands for the path of a program that cannot be determined.
const UnknownProgram = "?"
