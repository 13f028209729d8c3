# Tasks that take more than one go command.
.PHONY: all test test-nics doc-nics soak bench fuzz man deb

all:
	CGO_ENABLED=0 go build -o netmap ./cmd/netmap

test:
	go test ./...

# Writes the manual pages into build/man.
man:
	go run ./cmd/netmap man build/man

# Builds a Debian package in build/. packaging/test and packaging/container-test test it, as root.
deb:
	packaging/build deb

# Runs long tests, as root: two hundred rounds of the tests that kill clients and daemons and of the
# stress test, and for an hour TCP of 200 MB at a time between a host and its peer through the host
# rings.
soak:
	NETMAP_SOAK=1 go test -timeout 4h -count 1 -v -run 'TestKill|TestStress|Host' ./tests/device
	NETMAP_SOAK=1 go test -timeout 1h -count 1 -v -run 'TestScenarios//(forwarder|transparent)' ./tests/scenario

# Tests the drivers of real cards, in guests that QEMU emulates in software. Takes minutes, as root
# on Debian. Installs QEMU, and unpacks kernels into a temporary directory; NETMAP_KERNELS names one
# to keep.
NICS_VERSIONS ?= 6.12 6.18
test-nics:
	@dir=$${NETMAP_KERNELS:-$$(mktemp -d)}; [ -n "$$NETMAP_KERNELS" ] || trap "rm -rf $$dir" EXIT; \
	tests/nics/get.sh $$dir $(NICS_VERSIONS) && \
	NETMAP_KERNELS=$$dir NETMAP_REQUIRE_ALL=1 go test -count 1 -timeout 40m -v -run TestNICs ./tests/nics $(NICS_FLAGS)

# The same, and writes the tables of doc/nics.md.
doc-nics:
	$(MAKE) test-nics NICS_FLAGS=-update

# Measures side by side with floors, DPDK and AF_PACKET, and writes the part of doc/performance.md
# that is about this machine. Takes about eight minutes, as root.
bench:
	go run ./bench

# Runs every fuzz target for a minute. CI runs only their seed corpora. Targets with goroutines are
# not deterministic, so that minimizing an input could take all of the time: it is limited to a
# second.
FUZZTIME ?= 60s
fuzz:
	@for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$p || exit 1; \
		done; \
	done
