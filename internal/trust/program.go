package trust

import (
	"errors"
	"fmt"
	"os"
)

var errOtherFile = errors.New("the peer is another program")

// sameFile returns an error unless the program of the peer is the file that runs here.
func sameFile(theirs, ours string) error {
	them, err := os.Stat(theirs)
	if err != nil {
		return fmt.Errorf("the program of the peer is not known: %w", err)
	}
	us, err := os.Stat(ours)
	if err != nil {
		return err
	}
	if !os.SameFile(them, us) {
		return errOtherFile
	}
	return nil
}
