// Package ns gives the tests of a package a private world: mount and network namespaces of
// their own, and in them a pcscd whose only reader is virtual. Tests of several packages can
// then run side by side on the same fixed ports, and no test reaches a real card or service.
//
//	func TestMain(m *testing.M) { ns.Main(m) }
package ns

// SoftHSM is the module of SoftHSM. It belongs to root in every World.
const SoftHSM = "/usr/lib/softhsm/libsofthsm2.so"
