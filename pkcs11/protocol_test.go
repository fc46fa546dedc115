package pkcs11

import (
	"bytes"
	"io"
	"reflect"
	"testing"

	"github.com/crs-bridge/crs"
)

// FuzzRequests: on any input a worker answers requests and nothing else, and a PIN is in no answer.
func FuzzRequests(f *testing.F) {
	var whole bytes.Buffer
	digest := make([]byte, 32)
	writeMessage(&whole, request{Do: doSign, Secrets: 1, Token: &token{Label: "x"}, Certificate: &certificate{ID: []byte{1}}, Algorithm: crs.RS256, Digest: digest})
	writeSecret(&whole, []byte("58293"))
	f.Add(whole.Bytes())
	f.Add([]byte("M\x00\x00\x00\x02{}"))
	f.Add([]byte("S\x00\x00\x00\x05abcde"))
	f.Add([]byte("M\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		asked := 0
		serve(bytes.NewReader(in), &out, func(q request, secrets []*crs.PIN, _ func()) reply {
			asked++
			if !q.valid() || len(secrets) != q.Secrets {
				t.Errorf("%+v with %d secrets", q, len(secrets))
			}
			return reply{Flags: 1}
		}, func() {})
		for range asked {
			if r, err := readReply(&out); err != nil || r.Flags != 1 {
				t.Error(err)
			}
		}
		if out.Len() != 0 {
			t.Errorf("%d bytes more", out.Len())
		}
	})
}

// FuzzT17Replies: for any bytes from a worker, a reply is within its bounds, and stays the same
// when written and reread.
func FuzzT17Replies(f *testing.F) {
	var whole bytes.Buffer
	writeMessage(&whole, reply{Accepted: true})
	writeMessage(&whole, reply{Tokens: []token{{Label: "x", Certificates: []certificate{{[]byte{1}, []byte{2}}}}}})
	writeMessage(&whole, reply{Failure: &failure{Call: "C_Login", Code: 0xA0}})
	f.Add(whole.Bytes())
	f.Add([]byte("M\x00\x04\x00\x01"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		for {
			a, err := readReply(r)
			if err != nil {
				if !reflect.ValueOf(a).IsZero() {
					t.Errorf("%v and %+v", err, a)
				}
				return
			}
			var again bytes.Buffer
			if err := writeMessage(&again, a); err != nil {
				continue // escapes can make it longer
			}
			b, err := readReply(&again)
			if err != nil {
				t.Fatalf("%+v cannot be read again: %v", a, err)
			}
			var third bytes.Buffer
			writeMessage(&again, a)
			writeMessage(&third, b)
			if !bytes.Equal(again.Bytes(), third.Bytes()) {
				t.Errorf("%+v is not %+v", a, b)
			}
		}
	})
}

// FuzzRegistration: p11-kit's files.
func FuzzRegistration(f *testing.F) {
	f.Add("module: opensc-pkcs11.so\ntrust-policy: yes\nenable-in: crs, x\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := places{libraries: []string{"/lib"}}.parseRegistration("x", text)
		if ok && r.module == "" {
			t.Error("a module without a file")
		}
	})
}

func TestFrames(t *testing.T) {
	if err := writeSecret(io.Discard, make([]byte, maxSecret+1)); err == nil {
		t.Error("a long secret is written")
	}
	if _, err := readReply(bytes.NewReader([]byte("M\x7f\xff\xff\xff"))); err == nil {
		t.Error("a long frame is read")
	}
}

// TestPINResult: what an answer to a PIN means.
func TestPINResult(t *testing.T) {
	before, pending := crs.UnknownPINStatus, crs.PINStatus{Retries: 2, Doubtful: true}
	gone := &died{why: "ended"}
	for _, test := range []struct {
		name  string
		reply reply
		err   error
		kept  crs.PINStatus
		want  *crs.PINError
		code  crs.Code
	}{
		{"right", reply{}, nil, before, nil, ""},
		{"accepted, then died", reply{Accepted: true}, gone, before, nil, crs.ErrCard},
		{"died", reply{}, gone, pending, &crs.PINError{Retries: -1, Uncertain: true}, crs.ErrCard},
		{"not asked", reply{}, &failure{Call: "C_OpenSession", Code: 5}, before, nil, crs.ErrCard},
		{"wrong", reply{}, &failure{Call: callLogin, Code: ckrPINIncorrect}, pending, &crs.PINError{Retries: -1}, crs.ErrCard},
		{"wrong, last", reply{Flags: ckfPINFinalTry}, &failure{Call: callLogin, Code: ckrPINIncorrect}, crs.PINStatus{Retries: 1}, &crs.PINError{Retries: 1}, crs.ErrCard},
		{"locked", reply{}, &failure{Call: callLogin, Code: ckrPINLocked}, crs.PINStatus{Blocked: true}, &crs.PINError{Blocked: true}, crs.ErrPINBlocked},
		{"expired", reply{}, &failure{Call: callLogin, Code: ckrPINExpired}, before, nil, crs.ErrCardUnusable},
		{"cancelled on the device", reply{Flags: ckfProtectedPath}, &failure{Call: callLogin, Code: ckrFunctionCanceled}, before, nil, crs.ErrCancelled},
		{"cancelled, but typed here", reply{}, &failure{Call: callLogin, Code: ckrFunctionCanceled}, pending, &crs.PINError{Retries: -1, Uncertain: true}, crs.ErrCard},
		{"odd", reply{}, &failure{Call: callLogin, Code: 5}, pending, &crs.PINError{Retries: -1, Uncertain: true}, crs.ErrCard},
		{"wrong at a change", reply{}, &failure{Call: callSetPIN, Code: ckrPINIncorrect}, pending, &crs.PINError{Retries: -1}, crs.ErrCard},
		{"pulled", reply{}, &failure{Call: callLogin, Code: ckrDeviceRemoved}, pending, &crs.PINError{Retries: -1, Uncertain: true}, crs.ErrCard},
	} {
		t.Run(test.name, func(t *testing.T) {
			kept, err := pinResult(test.reply, test.err, before, pending)
			if kept != test.kept || crs.CodeOf(err) != test.code {
				t.Errorf("kept %+v, %v is %q", kept, err, crs.CodeOf(err))
			}
			got, _ := err.(*crs.PINError)
			if (got == nil) != (test.want == nil) || got != nil && (got.Retries != test.want.Retries || got.Blocked != test.want.Blocked || got.Uncertain != test.want.Uncertain) {
				t.Errorf("%+v", got)
			}
		})
	}
}
