# make demo    a login on an embedded card: no reader, no setup
# make crs     the program, build/crs; RELEASE=1.2.3 names it, else git does
# make extension   the browser extension for both stores, into build
# make check   the checks for every commit, which need only Go
# make test    everything that is tested, on real parts
# make bench   the figures of docs/figures.md
# make fuzz    the parsers, for FUZZTIME each
# make soak    a login after browsers were idle for SOAK
# make screenshots   pictures of every dialog and menu, into build/screenshots

FUZZTIME ?= 60s
SOAK ?= 5m
RELEASE ?= $(shell git describe --tags --always --dirty 2>/dev/null)
export GOFLAGS ?= -buildvcs=false

.PHONY: demo crs extension check test bench fuzz soak screenshots clean

# Not with `go run`, which reports Ctrl-C as a failure.
demo: crs
	@build/crs demo

crs:
	@scripts/bootstrap demo
	@go build -trimpath -ldflags "-s -w -X main.release=$(RELEASE)" -o build/crs ./cmd/crs

extension:
	@go run ./internal/tools/pack build

check:
	@scripts/check

test:
	@scripts/bootstrap test
	@scripts/test

bench:
	@scripts/bootstrap test
	@scripts/bench

fuzz:
	@scripts/bootstrap test
	@FUZZTIME=$(FUZZTIME) scripts/fuzz

soak:
	@scripts/bootstrap test
	@SOAK=$(SOAK) scripts/soak

screenshots:
	@scripts/bootstrap test
	@scripts/screenshots build/screenshots

clean:
	rm -rf build
