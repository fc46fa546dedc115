package main

import "testing"

func TestParseListener(t *testing.T) {
	for line, want := range map[string]int{
		"   0: 0100007F:6C7A 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0 100 0 0 10 0":                                          27770,
		"   1: 00000000000000000000000001000000:6C7B 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0 100 0": 27771,
		"   2: 0100007F:6C7A 0100007F:C001 01 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0 100 0 0 10 0":                                          0, // connected
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode":                                                           0,
		"": 0,
	} {
		port, inode, ok := parseListener(line)
		if ok != (want != 0) || ok && (port != want || inode != "12345") {
			t.Errorf("parseListener(%q) = %d, %s, %v", line, port, inode, ok)
		}
	}
}
