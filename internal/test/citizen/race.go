//go:build linux && race

package citizen

const raceSuffix = "-race"

var raceFlags = []string{"-race"}
