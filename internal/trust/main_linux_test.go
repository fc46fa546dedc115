package trust

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/crs-bridge/crs/internal/test/ns"
)

// dialVariable makes the test binary the program that asks: it connects to the address in it and
// stays until its stdin ends.
const dialVariable = "CRS_TRUST_TEST_DIAL"

func TestMain(m *testing.M) {
	if address := os.Getenv(dialVariable); address != "" {
		network := "tcp"
		if strings.HasPrefix(address, "/") {
			network = "unix"
		}
		conn, err := net.Dial(network, address)
		if err != nil {
			os.Exit(1)
		}
		io.Copy(io.Discard, os.Stdin)
		conn.Close()
		os.Exit(0)
	}
	os.Exit(ns.World{Tests: m, WithoutPcscd: true, Users: true}.Run())
}
