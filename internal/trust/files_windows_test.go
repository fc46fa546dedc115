package trust

import (
	"testing"

	"golang.org/x/sys/windows"
)

// TestAdminsAlone: Wine knows no other owner of files than the user who runs it, so what Windows says
// of its own directories is in a table.
func TestAdminsAlone(t *testing.T) {
	const installer = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464"
	for _, test := range []struct {
		name, descriptor string
		way, own         bool // whether it will do on the way to a module, and sealed
	}{
		{"C:\\", "O:" + installer + "D:PAI(A;;LC;;;AU)(A;OICIIO;SDGXGWGR;;;AU)(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1200a9;;;BU)", true, false},
		{"C:\\Windows\\System32", "O:" + installer + "D:PAI(A;OICIIO;GA;;;CO)(A;OICIIO;GA;;;SY)(A;;0x1301bf;;;SY)(A;OICIIO;GA;;;BA)(A;;0x1301bf;;;BA)" +
			"(A;OICIIO;GXGR;;;BU)(A;;0x1200a9;;;BU)(A;CIIO;GA;;;" + installer + ")(A;;FA;;;" + installer + ")(A;;0x1200a9;;;AC)(A;OICIIO;GXGR;;;AC)", true, true},
		{"C:\\ProgramData", "O:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICIIO;GA;;;CO)(A;OICI;0x1200a9;;;BU)(A;CI;DCLCRPCR;;;BU)", true, false},
		{"of a user", "O:S-1-5-21-1-2-3-1001D:(A;;FA;;;SY)", false, false},
		{"everybody's", "O:BAD:(A;;FA;;;SY)(A;;FA;;;WD)", false, false},
		{"one that users may delete", "O:BAD:(A;;FA;;;SY)(A;;SD;;;BU)", false, false},
		{"one of which users may delete a part", "O:BAD:(A;;FA;;;SY)(A;;DT;;;BU)", false, false},
		{"one whose list users may change", "O:BAD:(A;;FA;;;SY)(A;;WD;;;BU)", false, false},
		{"one that users may take", "O:BAD:(A;;FA;;;SY)(A;;WO;;;BU)", false, false},
		{"one that users may not write to", "O:BAD:(D;;FA;;;BU)(A;;FA;;;SY)", true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			sd, err := windows.SecurityDescriptorFromString(test.descriptor)
			if err != nil {
				t.Errorf("%v", err)
				return
			}
			way, wayErr := adminsAlone(sd, changing&^adding)
			own, ownErr := adminsAlone(sd, changing)
			if way != test.way || own != test.own || wayErr != nil || ownErr != nil {
				t.Errorf("%t %v on the way, %t %v as the own directory", way, wayErr, own, ownErr)
			}
		})
	}

	// Those that Wine cannot read as text.
	const callback, object, label = 0x9, 0x5, 0x11
	for _, kind := range []uint8{callback, object, label} {
		sd, err := windows.SecurityDescriptorFromString("O:BAD:(A;;FA;;;BU)")
		if err != nil {
			t.Fatal(err)
		}
		list, _, _ := sd.DACL()
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(list, 0, &ace); err != nil {
			t.Fatal(err)
		}
		ace.Header.AceType = kind
		if ok, err := adminsAlone(sd, changing); ok || err != nil {
			t.Errorf("an entry of type %d: %t %v", kind, ok, err)
		}
	}
	sd, err := windows.SecurityDescriptorFromString("O:BAD:(A;;FA;;;SY)")
	if err == nil {
		sd, err = sd.ToAbsolute()
	}
	if err == nil {
		err = sd.SetDACL(nil, true, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := adminsAlone(sd, changing); ok || err != nil {
		t.Errorf("no list, which lets everybody do everything: %t %v", ok, err)
	}
}
