# make test is what CI runs: it installs what the tests need and runs all of them.

SHELL := /bin/bash
GO ?= go
LINT := $(GO) tool -modfile=tools/go.mod golangci-lint
# Debian packages of the tests: a browser, proxies, a server to measure beside, fonts
# for the pictures, curl, and a C compiler for the race detector.
PACKAGES := chromium nginx-light libnginx-mod-nchan haproxy fonts-noto-cjk curl gcc libc6-dev nodejs npm

.PHONY: test long deps check vet lint race days fuzz web fmt build bench clean

# What a test had to leave out stands in this file; go test alone keeps it quiet.
export DOORBELL_TEST_REPORT := $(CURDIR)/test-report.out

test: deps
	@rm -f $(DOORBELL_TEST_REPORT)
	@$(MAKE) --no-print-directory check
	@echo
	@echo "suites ran on: sqlite (embedded), Chromium, nginx, HAProxy, toxiproxy"
	@echo "NOT run: PostgreSQL, MySQL, NATS, Redis - doorbell has no dialect or bus for them yet"
	@[ ! -s $(DOORBELL_TEST_REPORT) ] || { echo "SKIPPED on this machine:"; cat $(DOORBELL_TEST_REPORT); }

# The long sizes, hours of them; the figures are printed. What needs to mount a
# file system is required here, and skipped loudly by make test where it can't.
long: deps
	DOORBELL_TEST_POWER=required DOORBELL_TEST_DISK=required DOORBELL_TEST_KILLS=1000 DOORBELL_TEST_CUTS=1000 DOORBELL_TEST_FAULTS=1000 \
	DOORBELL_TEST_RESTARTS=200 DOORBELL_TEST_STORM=15000 DOORBELL_TEST_STORM_S=10 DOORBELL_TEST_CATCHUP_S=3 DOORBELL_TEST_STALLED_PERCENT=10 \
	DOORBELL_TEST_JUMPS=300 DOORBELL_TEST_EVIL=100 DOORBELL_TEST_LISTENERS=5000 DOORBELL_TEST_SLACK=1 DOORBELL_TEST_DROPPED=400 \
	$(GO) test -count=1 -timeout 8h -v ./e2e -run 'TestKillNine|TestPowerCut|TestNetworkFaults|TestRollingRestarts|TestStorm|TestStalledConsoles|TestSlowConsumers|TestClockJumps|TestEvil|TestRestore|TestFullDisk|TestLocked|TestReadOnly|TestCallbackLatency|TestMoney' \
		| grep -E '^(---|===|ok|FAIL|    [a-z_]+\.go)'
	DOORBELL_TEST_PROBES=1000000 DOORBELL_TEST_CYCLES=200000 DOORBELL_TEST_FORGERIES=20000 $(GO) test -count=1 -timeout 2h -v -run 'TestOtherShops$$|TestNothingLeaks|TestForgeryGenerator' ./handlers
	DOORBELL_TEST_DAYS=1000 $(GO) test -count=1 -timeout 8h -v -run TestSimulatedDays .
	$(MAKE) fuzz FUZZTIME=10m

# The virtual days need one core and no clock; the race tests leave that much.
check: vet web lint
	@$(MAKE) --no-print-directory -j2 --output-sync=target race days
	@$(MAKE) --no-print-directory fuzz

deps:
	@missing=""; for p in $(PACKAGES); do \
		case $$p in \
			nodejs) command -v node >/dev/null && continue;; \
			npm) command -v npm >/dev/null && continue;; \
		esac; \
		dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing Debian packages:$$missing"; \
		sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
	@echo "installing npm packages: biome, typescript, axe-core (tools/web)"
	@cd tools/web && npm ci --no-audit --no-fund --silent

vet:
	$(GO) vet ./...
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }

web:
	cd tools/web && npx tsc -p . && npx biome check --config-path=. ../../static && node --test test/

lint:
	$(LINT) run ./...

race:
	$(GO) test -race -timeout 20m ./...

# Thirty days of virtual time, without the race detector: it makes them ten times
# as long.
days:
	DOORBELL_TEST_DAYS=30 nice -n 10 $(GO) test -count=1 -timeout 20m -run TestSimulatedDays .

# Every parser of foreign bytes, FUZZTIME each; what was found worth keeping is
# in testdata/fuzz and runs with the tests.
FUZZTIME ?= 5s
fuzz:
	@for pkg in ./internal/doorbell ./internal/config ./internal/payment ./handlers; do \
		for name in $$(grep -ho '^func Fuzz[A-Za-z]*' $$pkg/*_test.go | cut -c6-); do \
			echo "fuzz $$pkg $$name $(FUZZTIME)"; \
			$(GO) test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) $$pkg | grep -E 'elapsed|FAIL|panic|---|^ ' | tail -20; \
			[ $${PIPESTATUS[0]} = 0 ] || exit 1; \
		done; \
	done

fmt:
	gofmt -w $$(git ls-files '*.go')
	cd tools/web && npx biome check --config-path=. --write ../../static

build:
	$(GO) build -trimpath -o doorbell .

# What the server costs, as ratios to a floor of the same run: half an hour.
bench: build
	./doorbell bench --runs 5

clean:
	rm -rf doorbell e2e/shots tools/web/node_modules
