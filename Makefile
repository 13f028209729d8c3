# The few things that are more than one go command.
.PHONY: all test fuzz

all:
	CGO_ENABLED=0 go build -o netmap ./cmd/netmap

test:
	go test ./...

# A minute for every fuzz target. CI runs their seed corpora only.
FUZZTIME ?= 60s
fuzz:
	@for p in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done
