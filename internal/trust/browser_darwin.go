package trust

import (
	"errors"
	"net"
)

func browserOf(net.Conn) (string, error) { return "", errors.New("not known on this system") }
