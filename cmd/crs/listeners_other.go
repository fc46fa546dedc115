//go:build !linux

package main

import (
	"net"
	"strconv"
	"time"

	"github.com/crs-bridge/crs/bridge"
)

// listeners returns the ports of the service on which something listens, without its name, which is
// harder to get on these systems.
func listeners() map[int]string {
	found := map[int]string{}
	for _, port := range bridge.Ports {
		c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
		if err == nil {
			c.Close()
			found[port] = ""
		}
	}
	return found
}
