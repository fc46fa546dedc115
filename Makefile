# make demo    a login on an embedded card: no reader, no setup
# make test    everything that is tested, on real parts
# make bench   the figures of the README
# make fuzz    the parsers, for FUZZTIME each
# make screenshots   pictures of every dialog, into build/screenshots

FUZZTIME ?= 60s
export GOFLAGS ?= -buildvcs=false

.PHONY: demo crs test bench fuzz screenshots clean

demo:
	@scripts/bootstrap demo
	@go run ./cmd/crs demo

crs:
	@scripts/bootstrap demo
	go build -trimpath -ldflags "-s -w" -o build/crs ./cmd/crs

test:
	@scripts/bootstrap test
	@scripts/test

bench:
	@scripts/bootstrap test
	@scripts/bench

fuzz:
	@scripts/bootstrap test
	@FUZZTIME=$(FUZZTIME) scripts/fuzz

screenshots:
	@scripts/bootstrap test
	@scripts/screenshots build/screenshots

clean:
	rm -rf build
