package ns

import (
	"fmt"
	"os"

	"go.uber.org/goleak"
)

// WithoutLeaks are tests that fail when a goroutine outlives them.
type WithoutLeaks struct{ Tests interface{ Run() int } }

func (w WithoutLeaks) Run() int {
	before := goleak.IgnoreCurrent()
	code := w.Tests.Run()
	if err := goleak.Find(before); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
