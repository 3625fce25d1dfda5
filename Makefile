# make test is what CI runs: it installs what the tests need and runs all of them.

SHELL := /bin/bash
GO ?= go

# The tests use the Go toolchain and what make deps installs, nothing else that
# stands on this machine: another Node in front on the path hid for a month that
# Debian's own did not load the pages' modules.
GOROOT := $(shell $(GO) env GOROOT)
override GO := $(GOROOT)/bin/go
export PATH := $(GOROOT)/bin:/usr/sbin:/usr/bin:/sbin:/bin
unexport NODE_PATH NODE_OPTIONS
LINT := $(GO) tool -modfile=tools/go.mod golangci-lint
# The one formatter of the Go code (gofumpt and gci, set up in .golangci.yml):
# fmt writes what it says, and vet checks the same.
FORMAT := $(LINT) fmt
# Debian packages of the tests: a browser, proxies, message brokers, a server to measure beside, fonts
# for the pictures, curl, a file system to cut the power of, and a C compiler for the
# race detector, and Prometheus for its promtool, which tests the alert rules. What they are used as stands in PROGRAMS.
PACKAGES := chromium nginx-light libnginx-mod-nchan haproxy caddy nats-server redis-server postgresql mariadb-server fonts-noto-cjk curl e2fsprogs gcc libc6-dev nodejs npm python3 prometheus
PROGRAMS := go gcc node npm npx chromium nginx haproxy caddy nats-server redis-server mariadbd mariadb-install-db curl mkfs.ext4 python3 promtool

# The systems that the program is built for: GOOS/GOARCH.
TARGETS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64

# What prints a run's failures and its longest tests.
TIMES := $(CURDIR)/testtimes.out

.PHONY: test quick long mutants deps programs fresh check verify vet lint race models manifests packages fuzz web fmt build dist deb deb-check bench clean

# What a test had to leave out stands in this file; go test alone keeps it quiet.
export DOORBELL_TEST_REPORT := $(CURDIR)/test-report.out

test: deps
	@rm -f $(DOORBELL_TEST_REPORT)
	@$(MAKE) --no-print-directory check
	@echo
	@echo "suites ran on: sqlite (embedded), PostgreSQL, MariaDB, Chromium, nginx, HAProxy, Caddy, toxiproxy, NATS, Redis"
	@echo "NOT run: MySQL itself - Debian has no package of it; its dialect is MariaDB's but for three names"
	@[ ! -s $(DOORBELL_TEST_REPORT) ] || { echo "SKIPPED on this machine:"; cat $(DOORBELL_TEST_REPORT); }

# The long sizes, hours of them; the figures are printed. What needs to mount a
# file system is required here, and skipped loudly by make test where it can't.
long: deps
	DOORBELL_TEST_POWER=required DOORBELL_TEST_DISK=required DOORBELL_TEST_KILLS=1000 DOORBELL_TEST_CUTS=1000 DOORBELL_TEST_FAULTS=1000 \
	DOORBELL_TEST_RESTARTS=200 DOORBELL_TEST_STORM=15000 DOORBELL_TEST_STORM_S=10 DOORBELL_TEST_CATCHUP_S=3 DOORBELL_TEST_STALLED_PERCENT=10 \
	DOORBELL_TEST_JUMPS=300 DOORBELL_TEST_EVIL=100 DOORBELL_TEST_LISTENERS=5000 DOORBELL_TEST_SLACK=1 DOORBELL_TEST_DROPPED=400 \
	DOORBELL_TEST_RUSH=500 DOORBELL_TEST_PRESSES=300 DOORBELL_TEST_SKY_ORDERS=200 \
	$(GO) test -count=1 -timeout 8h -v ./e2e -run 'TestKillNine|TestPowerCut|TestNetworkFaults|TestRollingRestarts|TestStorm|TestStalledConsoles|TestSlowConsumers|TestClockJumps|TestEvil|TestRestore|TestFullDisk|TestLocked|TestReadOnly|TestCallbackLatency|TestMoney|TestBoardSpeed|TestPressesInARush|TestADayOfSkyTakeOut' \
		| grep -E '^(---|===|ok|FAIL|    [a-z_]+\.go)'
	DOORBELL_TEST_KITCHEN_S=900 $(GO) test -count=1 -timeout 1h -v -run TestKitchenQuarter ./e2e
	DOORBELL_TEST_NODE_FAULTS=100 DOORBELL_TEST_BROKER_FAULTS=200 DOORBELL_TEST_DATABASE_FAULTS=500 DOORBELL_TEST_CLUSTER_S=2 \
	$(GO) test -count=1 -timeout 4h -v ./e2e -run 'TestCluster' | grep -E '^(---|===|ok|FAIL|    [a-z_]+\.go)'
	DOORBELL_TEST_PROBES=1000000 DOORBELL_TEST_CYCLES=200000 DOORBELL_TEST_FORGERIES=20000 DOORBELL_TEST_HISTORIES=1000 $(GO) test -count=1 -timeout 2h -v -run 'TestOtherShops$$|TestNothingLeaks|TestForgeryGenerator|TestRevocationHistories' ./handlers
	DOORBELL_TEST_MONEY=100000 $(GO) test -count=1 -timeout 4h -v -run 'TestMoneyModel' ./handlers
	DOORBELL_TEST_DAYS=1000 $(GO) test -count=1 -timeout 8h -v -run TestSimulatedDays ./internal/server
	DOORBELL_TEST_KITCHENS=300 $(GO) test -count=1 -timeout 4h -v -run TestKitchenDay ./internal/server
	DOORBELL_TEST_ESCALATIONS=1000000 $(GO) test -count=1 -timeout 4h -v ./internal/escalation
	DOORBELL_TEST_DBFAULTS=30 $(GO) test -count=1 -timeout 4h -v -run TestServerFaults ./internal/store
	DOORBELL_TEST_LEDGERS=1000 $(GO) test -count=1 -timeout 4h -v -run TestLedger ./internal/ledger
	$(MAKE) fuzz FUZZTIME=10m

# Breaks each mechanism that docs/reliability.md lists, one after another in a copy of
# the tree, and fails unless the tests named there are red then: some hours. ONLY is a
# pattern of what to break, WITH one of the tests, say WITH=./transport.
ONLY ?=
WITH ?=
mutants: deps
	$(GO) run ./docs/mutants -run '$(ONLY)' -red '$(WITH)'

# The models need one core and no clock; the race tests leave that much.
check: verify vet web lint manifests packages
	@$(MAKE) --no-print-directory -j2 --output-sync=target race models
	@$(MAKE) --no-print-directory fuzz

deps:
	@missing=""; for p in $(PACKAGES); do \
		case $$p in \
			npm) command -v npm >/dev/null && continue;; \
		esac; \
		dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing Debian packages:$$missing"; \
		sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
	@for p in $(PROGRAMS); do command -v $$p >/dev/null || { echo "make deps did not bring $$p"; exit 1; }; done
	@echo "installing npm packages: biome, typescript, axe-core, fake-timers, spectral (tools/web)"
	@cd tools/web && npm ci --ignore-scripts --no-audit --no-fund --silent

# Which file each program of the tests is; a test holds them to what deps installs.
programs:
	@for p in $(PROGRAMS); do command -v $$p || echo "no $$p"; done

# The README's two commands on a clean Debian in a folder of its own. Run it after a
# change of deps; needs root, half an hour, and port 8080.
fresh:
	@tools/fresh.sh

# The modules in the cache are those that go.sum names.
verify:
	$(GO) mod verify

# The program compiles for each system; make dist links it, too.
vet:
	$(GO) vet ./...
	@for t in $(TARGETS); do echo "compile for $$t"; CGO_ENABLED=0 GOOS=$${t%/*} GOARCH=$${t#*/} $(GO) build -trimpath ./internal/cli || exit 1; done
	@$(FORMAT) --diff || { echo "make fmt changes the above"; exit 1; }

web:
	cd tools/web && npx tsc -p . && npx biome check --config-path=. ../../static ../../internal/reference/clients reference.mjs && node --test test/*.test.js

lint:
	$(LINT) run ./...

# deploy/ against the types of what reads it, in a module that the server needs not.
manifests:
	cd tools/manifests && $(GO) test ./...

# What make dist and make deb make, of one system; twice, and the same to the bit.
packages:
	cd tools/dist && $(GO) test .

race:
	@cd tools && $(GO) build -o $(TIMES) ./testtimes
	$(GO) test -race -json -timeout 40m ./... | $(TIMES)

# Days of virtual time and histories of money held against their models, without
# the race detector, which makes them ten times as long. Six days find each fault
# that was planted.
models:
	DOORBELL_TEST_DAYS=6 nice -n 10 $(GO) test -count=1 -timeout 20m -run 'TestSimulatedDays|TestKitchenDay' ./internal/server
	DOORBELL_TEST_MONEY=2000 nice -n 10 $(GO) test -count=1 -timeout 20m -run TestMoneyModel ./handlers

# What an engineer runs before each commit, about two minutes: everything but the
# browser, the proxies and the race detector, at small sizes.
quick: vet web
	DOORBELL_TEST_PROBES=1000 DOORBELL_TEST_CYCLES=500 DOORBELL_TEST_FORGERIES=300 DOORBELL_TEST_MONEY=100 DOORBELL_TEST_HISTORIES=2 \
	$(GO) test $$($(GO) list ./... | grep -v /e2e)

# Every parser of foreign bytes, FUZZTIME each; what was found worth keeping is
# in testdata/fuzz and runs with the tests.
FUZZTIME ?= 5s
fuzz:
	@for pkg in ./internal/doorbell ./internal/bus ./internal/config ./internal/payment ./handlers; do \
		for name in $$(grep -ho '^func Fuzz[A-Za-z]*' $$pkg/*_test.go | cut -c6-); do \
			echo "fuzz $$pkg $$name $(FUZZTIME)"; \
			$(GO) test -run='^$$' -fuzz="^$$name\$$" -fuzztime=$(FUZZTIME) $$pkg | grep -E 'elapsed|FAIL|panic|---|^ ' | tail -20; \
			[ $${PIPESTATUS[0]} = 0 ] || exit 1; \
		done; \
	done

fmt:
	$(FORMAT)
	cd tools/web && npx biome check --config-path=. --write ../../static ../../internal/reference/clients reference.mjs

build:
	$(GO) build -trimpath -o doorbell .

# A release in dist/: static programs of all TARGETS, bills of materials, licences,
# checksums. VERSION=v1.2.3 names it, else git describe; AGAIN are built twice, in two
# folders, and compared to the bit: AGAIN=all takes minutes.
VERSION ?=
AGAIN ?= linux/amd64
dist:
	cd tools/dist && $(GO) run . -version '$(VERSION)' -again '$(AGAIN)'

# Debian packages of it; MAINTAINER='NAME <ADDRESS>' is who makes them.
MAINTAINER ?= doorbell <doorbell@packages.invalid>
deb: dist
	cd tools/dist && $(GO) run . -version '$(VERSION)' -deb amd64,arm64 -maintainer '$(MAINTAINER)'

# Installs the package in a clean Debian, runs the commands of docs/install.md there,
# upgrades and purges it, and lints it. Needs root, some minutes and dist/.
deb-check:
	@tools/debcheck.sh

# What the server costs, as ratios to a floor of the same run: half an hour.
bench: build
	./doorbell bench --runs 5

clean:
	rm -rf doorbell dist e2e/shots tools/web/node_modules
