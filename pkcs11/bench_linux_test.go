package pkcs11

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/crs-bridge/crs"
	cardtest "github.com/crs-bridge/crs/internal/test/cards"
	tokentest "github.com/crs-bridge/crs/internal/test/tokens"
)

// BenchmarkSign compares a login of SoftHSM in a worker with the same in this process, signature by
// signature in the same run.
func BenchmarkSign(b *testing.B) {
	home := b.TempDir()
	b.Setenv("HOME", home)
	tokentest.NewSoftHSM(b, home, oneToken())
	c := theCard(b, tokensOf(b, Module{Name: "SoftHSM", Path: tokentest.SoftHSMModule}))
	here, end := openLibrary(tokentest.SoftHSMModule)
	defer end()
	if r := here(request{Do: doLoad}, nil, nil); r.Failure != nil {
		b.Fatal(r.Failure)
	}
	digest, err := cardtest.NewStatement(b).Digest(c.chosen.algorithm)
	if err != nil {
		b.Fatal(err)
	}
	q := request{Do: doSign, Token: c.asked(), Certificate: &c.chosen.certificate, Algorithm: c.chosen.algorithm, Digest: digest}
	nothing := func() {}
	var inWorker, inProcess []time.Duration
	for b.Loop() {
		began := time.Now()
		if r, err := c.host.call(context.Background(), q, [][]byte{[]byte(rightPIN)}, nothing); err != nil || len(r.Signature) == 0 {
			b.Fatal(err)
		}
		inWorker = append(inWorker, time.Since(began))
		began = time.Now()
		if r := here(q, []*crs.PIN{cardtest.PIN(rightPIN)}, nothing); r.Failure != nil || len(r.Signature) == 0 {
			b.Fatal(r.Failure)
		}
		inProcess = append(inProcess, time.Since(began))
	}
	w, p := median(inWorker), median(inProcess)
	b.ReportMetric(float64(w.Microseconds()), "µs-median-worker")
	b.ReportMetric(float64(p.Microseconds()), "µs-median-here")
	b.ReportMetric(float64(w)/float64(p), "worker/here")
}

func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}
