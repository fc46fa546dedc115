// Package citizen gives tests what a citizen has: a home with the program in a process of its own,
// a card in a reader, and a browser in front of a portal.
//
//	func TestMain(m *testing.M) { citizen.Main(m) }
package citizen
