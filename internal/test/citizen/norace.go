//go:build linux && !race

package citizen

const raceSuffix = ""

var raceFlags []string
