# The few things that are more than one go command.
.PHONY: all test test-nics doc-nics soak bench fuzz man deb

all:
	CGO_ENABLED=0 go build -o netmap ./cmd/netmap

test:
	go test ./...

# Manual pages, into build/man.
man:
	go run ./cmd/netmap man build/man

# A Debian package, in build/. As root, packaging/test and packaging/container-test try it out.
deb:
	packaging/build deb

# The tests that kill, requests of all kinds from several processes at once, two hundred rounds of each, and for an hour a host
# behind its own rings with 200 MB of TCP again and again; as root.
soak:
	NETMAP_SOAK=1 go test -timeout 4h -count 1 -v -run 'TestKill|TestStress|Host' ./tests/device
	NETMAP_SOAK=1 go test -timeout 1h -count 1 -v -run 'TestScenarios//(forwarder|transparent)' ./tests/scenario

# Netmap mode on the drivers of real cards, in guests that QEMU emulates in software: minutes, as root on Debian. Installs QEMU and
# unpacks kernels into a directory that goes away; NETMAP_KERNELS names one that stays.
NICS_VERSIONS ?= 6.12 6.18
test-nics:
	@dir=$${NETMAP_KERNELS:-$$(mktemp -d)}; [ -n "$$NETMAP_KERNELS" ] || trap "rm -rf $$dir" EXIT; \
	tests/nics/get.sh $$dir $(NICS_VERSIONS) && \
	NETMAP_KERNELS=$$dir NETMAP_REQUIRE_ALL=1 go test -count 1 -timeout 40m -v -run TestNICs ./tests/nics $(NICS_FLAGS)

# The same, and the table of doc/nics.md.
doc-nics:
	$(MAKE) test-nics NICS_FLAGS=-update

# Side by side with DPDK and AF_PACKET, five minutes, as root; writes doc/performance.md.
bench:
	go run ./bench

# A minute for every fuzz target. CI runs their seed corpora only. Of targets with goroutines no
# two runs are the same: to make an input smaller would take all of the time.
FUZZTIME ?= 60s
fuzz:
	@for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$p || exit 1; \
		done; \
	done
