// Package ns gives the tests of a package a private world: mount and network namespaces of
// their own, and in them a pcscd whose only reader is virtual. Tests of several packages can
// then run side by side on the same fixed ports, and no test reaches a real card or service.
//
//	func TestMain(m *testing.M) { ns.Main(m) }
//
// A test asks for what it cannot do without, Need, NeedPcscd, NeedUsers, NeedProgram, and fails
// where that is not available, with the line that helps. All others run with Go alone; with -short
// they are the only ones that run, and no world is made.
package ns

// SoftHSM is the module of SoftHSM. It belongs to root in every World.
const SoftHSM = "/usr/lib/softhsm/libsofthsm2.so"

// Modules is a directory that only root can change in a World, for the modules of tests.
const Modules = "/mnt"
