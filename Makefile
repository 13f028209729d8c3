# The few things that are more than one go command.
.PHONY: all test bench fuzz

all:
	CGO_ENABLED=0 go build -o netmap ./cmd/netmap

test:
	go test ./...

# Side by side with DPDK and AF_PACKET, five minutes, as root; writes doc/performance.md.
bench:
	go run ./bench

# A minute for every fuzz target. CI runs their seed corpora only.
FUZZTIME ?= 60s
fuzz:
	@for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done
