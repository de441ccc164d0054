# One command per wish. `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# What Debian 12 has to bring beside Swift 6.3.
BUILD_PACKAGES := liburing-dev libssl-dev libkcapi-dev
# The ipsec-mb engine is built where its library is: on x86-64.
ifeq ($(shell uname -m),x86_64)
BUILD_PACKAGES += libipsec-mb-dev
endif
# For DPDK's back-end, which ours is measured against. libdpdk-dev brings the drivers.
PEER_PACKAGES := libdpdk-dev gcc libc6-dev pkg-config make jq bsdextrautils
GUEST_PACKAGES := qemu-system-x86 busybox-static cpio xz-utils openssl jq libc6-dev bsdextrautils
# Tests count instructions, watch terminals, and read the metrics with Prometheus's own parser (from PyPI).
TEST_PACKAGES := valgrind tmux python3-venv
# For manual pages and the package, and for checking what is installed.
PACKAGING_PACKAGES := jq dpkg-dev binutils
CHECK_PACKAGES := $(PACKAGING_PACKAGES) mandoc lintian systemd python3 curl
SWIFT ?= swift
BUILD := .build/release
# With Swift's libraries inside, for hosts without Swift: what is installed.
STATIC := .build/static
STATIC_FLAGS := --static-swift-stdlib --scratch-path $(STATIC)
SOURCES := Sources Tests Package.swift

# Where `make install` puts things; DESTDIR goes in front of all of them.
DESTDIR ?=
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
INSTALL := DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' SYSCONFDIR='$(SYSCONFDIR)' BUILD='$(CURDIR)/$(STATIC)/release' config/install.sh

.PHONY: asan tsan algorithm-table check-packages test-packages record-instructions deb help install packages packaging-packages run-service static uninstall guest-packages peer-packages guest build run test test-generic test-fast lint format check bench bench-rsa bench-guest bench-peers bench-scrape bench-recording bench-recording-off clean fuzz fuzz-corpus fuzz-coverage fuzz-packages fuzz-smoke kill-test kill-test-guest upgrade-test soak soak-kernel

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

packages: ## install what building needs from Debian (needs root)
	@dpkg -s $(BUILD_PACKAGES) >/dev/null 2>&1 || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(BUILD_PACKAGES); }

test-packages: ## install what the tests need from Debian (needs root)
	@dpkg -s $(TEST_PACKAGES) >/dev/null 2>&1 || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(TEST_PACKAGES); }

# The kernel is downloaded, not installed, which needs the package lists even where all packages are there.
guest-packages: ## install what the test guest needs from Debian (needs root)
	@ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || apt-get update -qq
	@dpkg -s $(GUEST_PACKAGES) >/dev/null 2>&1 || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(GUEST_PACKAGES); }

guest: guest-packages ## prepare the test guest: a Debian kernel and a small initramfs
	@Tests/Guest/guest-assets.sh

build: packages ## build the daemon and the tool, optimised
	$(SWIFT) build -c release --product vhost-user-crypto
	$(SWIFT) build -c release --product vhost-crypto

static: packages packaging-packages ## build the programs that are installed: optimised, with Swift's libraries inside
	$(SWIFT) build -c release $(STATIC_FLAGS) --product vhost-user-crypto
	$(SWIFT) build -c release $(STATIC_FLAGS) --product vhost-crypto

packaging-packages: ## install what making manual pages and packages needs from Debian (needs root)
	@dpkg -s $(PACKAGING_PACKAGES) >/dev/null 2>&1 || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGING_PACKAGES); }

check-packages: ## install what checking units, manual pages and packages needs from Debian (needs root)
	@dpkg -s $(CHECK_PACKAGES) >/dev/null 2>&1 || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(CHECK_PACKAGES); }

# Builds nothing, so that root need not: make static first.
install: ## install programs, manual pages, completions, units (DESTDIR=, PREFIX=/usr/local, SYSCONFDIR=/etc); make static first
	@$(INSTALL) install

uninstall: ## remove what `make install` installs; capability files that were changed stay
	@$(INSTALL) uninstall

deb: static ## a Debian package in .build/deb, for hosts without Swift
	@BUILD='$(CURDIR)/$(STATIC)/release' config/debian/build-deb.sh .build/deb

run-service: deb check-packages test-packages guest ## the package's service under a service manager that is played, a real guest, and top in a terminal
	@Tests/Service/run.sh

run: build guest ## the main job: a real Linux guest in QEMU encrypts through the daemon
	Tests/Guest/run.sh

test-generic: build guest ## AES and RSA of the real guest, behind a front-end that leaves everything to the daemon (QEMU 11.1, fetched)
	Tests/Guest/run-generic.sh

# The tests are built for debugging, with all of Swift's checks; the daemon that they start is the optimised one. One
# test at a time: some measure idle processes, and others fill every thread that asynchronous tests could run on.
test: build static test-packages check-packages guest ## everything that must pass, the real guest included
	$(SWIFT) build -c release --product traffic-driver
	$(SWIFT) build -c release --product restart-driver
	$(SWIFT) build -c release --product data-path-driver
	$(SWIFT) build -c release --product soak-driver
	$(SWIFT) build --build-tests
	VHOST_CRYPTO_BIN=$(CURDIR)/$(BUILD) $(SWIFT) test --skip-build --no-parallel

test-fast: build static test-packages check-packages ## the tests without the real guest
	$(SWIFT) build -c release --product traffic-driver
	$(SWIFT) build -c release --product restart-driver
	$(SWIFT) build -c release --product data-path-driver
	$(SWIFT) build -c release --product soak-driver
	$(SWIFT) build --build-tests
	VHOST_CRYPTO_BIN=$(CURDIR)/$(BUILD) $(SWIFT) test --skip-build --no-parallel --skip RealGuest

# The tests with daemon, drivers and themselves under a sanitizer (SANITIZED='HostileGuest|Restart' for some of them), without
# those that run one instruction after the other, count instructions or allocations, or look at what is built without. Traffic
# makes fewer requests, the model has more time. The runtimes' leak check and symbolizer need calls that the daemon's filter forbids, so reports
# have addresses (addr2line -e .build/asan/debug/vhost-user-crypto).
SANITIZED ?= .
UNSANITIZED := ^PerformanceGuardTests|AllocationTests|CrashTests|EveryInstruction|^KernelEngineTests|RealGuest
# What is measured is not ours under a sanitizer: where memory changes (its shadow, too), a session's bytes and a soak's growth
# (red zones, shadow, quarantine), and a rate within 2 % that instrumented code does not reach. The package is of a static build.
UNSANITIZED := $(UNSANITIZED)|ScalingTests|aSessionTakesAtMostAKibibyte|nothingIsLostWrongOrGrown|operationsAreHeld|thePackageRuns
# ThreadSanitizer maps memory of its own, grows more than a leak in the soak, and needs longer than the three seconds for each
# engine after which the daemon stops measuring.
UNSANITIZED_THREADS := mappingsDoNotPileUp|aLeakIsSeen
UNSANITIZED_THREADS := $(UNSANITIZED_THREADS)|theFirstStartMeasures|recalibratingMeasures|systemdsCacheDirectory|damagedFilesAreMeasured
# Time and memory that tests allow: so many times as much.
FOR_SANITIZERS := VHOST_CRYPTO_TEST_REQUESTS=500 VHOST_CRYPTO_MODEL_SECONDS=60 VHOST_CRYPTO_TEST_SLACK=8

# A small quarantine, because some tests see that the daemon gives its memory back.
asan: packages test-packages check-packages ## the tests under AddressSanitizer (SANITIZED=all, HOSTILE_SECONDS=2)
	$(SWIFT) build --sanitize=address --scratch-path .build/asan --build-tests
	$(FOR_SANITIZERS) ASAN_OPTIONS=detect_leaks=0:symbolize=0:abort_on_error=1:quarantine_size_mb=16 VHOST_CRYPTO_BIN=$(CURDIR)/.build/asan/debug \
	  $(SWIFT) test --sanitize=address --scratch-path .build/asan --skip-build --no-parallel --filter '$(SANITIZED)' --skip '$(UNSANITIZED)'

# Guests that rewrite what the daemon reads are threads of the tests: their own races are in a list, by name, which takes the
# toolchain's symbolizer. A report that is not there fails the run.
THREAD_SANITIZER := suppressions=$(CURDIR)/Tests/thread-sanitizer.supp
THREAD_SANITIZER := $(THREAD_SANITIZER):external_symbolizer_path=$(dir $(realpath $(shell command -v $(SWIFT))))llvm-symbolizer
tsan: packages test-packages check-packages ## the same under ThreadSanitizer
	$(SWIFT) build --sanitize=thread --scratch-path .build/tsan -Xcc -DUNDER_THREAD_SANITIZER --build-tests
	$(FOR_SANITIZERS) TSAN_OPTIONS=$(THREAD_SANITIZER) VHOST_CRYPTO_TEST_TSAN_OPTIONS=symbolize=0:halt_on_error=1 VHOST_CRYPTO_BIN=$(CURDIR)/.build/tsan/debug \
	  $(SWIFT) test --sanitize=thread --scratch-path .build/tsan --skip-build --no-parallel --filter '$(SANITIZED)' --skip '$(UNSANITIZED)|$(UNSANITIZED_THREADS)'

# Kills in all, over the four kinds of rings, the ways to connect, and with and without sessions.
KILLS ?= 200
kill-test: build ## the daemon SIGKILLed under load and restarted, KILLS=200 times: lost, wrong, duplicated, and the guest's wait
	$(SWIFT) build -c release --product restart-driver
	@Tests/RestartDriver/kill-test.sh kill $(KILLS) $(BUILD)/restart-driver $(BUILD)/vhost-user-crypto

kill-test-guest: KILLS = 20
kill-test-guest: build guest ## the same under a real Linux guest in QEMU, KILLS=20 times for each kind of rings
	Tests/Guest/run-restarts.sh --kills $(KILLS) --rings packed
	Tests/Guest/run-restarts.sh --kills $(KILLS) --rings split

# Two builds of the daemon take turns: that with Swift's libraries inside, which is installed, and that without.
RESTARTS ?= 80
upgrade-test: build static ## the same with SIGTERM, as systemctl restart and an upgrade do, RESTARTS=80 times
	$(SWIFT) build -c release --product restart-driver
	@Tests/RestartDriver/kill-test.sh term $(RESTARTS) $(BUILD)/restart-driver \
	  $(BUILD)/vhost-user-crypto $(STATIC)/release/vhost-user-crypto

# SEED=N plays the same phases again.
MINUTES ?= 10
soak: build ## guests for MINUTES=10 while front-ends die, the daemon is killed and what it calls fails; SEED=N
	$(SWIFT) build -c release --product soak-driver
	$(SWIFT) build -c release --product FaultInjector
	VHOST_CRYPTO_BIN=$(CURDIR)/$(BUILD) $(BUILD)/soak-driver --injector=$(CURDIR)/$(BUILD)/libFaultInjector.so \
	  --seconds=$$(($(MINUTES) * 60)) $(if $(SEED),--seed=$(SEED))

# This machine's kernel may have no AF_ALG. Under emulation everything takes many times as long.
soak-kernel: build ## the same in an emulated guest whose kernel is an engine, too
	$(SWIFT) build -c release --product soak-driver
	$(SWIFT) build -c release --product FaultInjector
	Tests/Guest/run-in-kernel-guest.sh --timeout $$(($(MINUTES) * 120 + 600)) --env VHOST_CRYPTO_BIN=$(CURDIR)/$(BUILD) \
	  --include $(BUILD)/vhost-user-crypto --include $(BUILD)/libFaultInjector.so --include /bin/bash -- \
	  $(BUILD)/soak-driver --injector=$(CURDIR)/$(BUILD)/libFaultInjector.so \
	  --seconds=$$(($(MINUTES) * 60)) --slowness=8 $(if $(SEED),--seed=$(SEED))

lint: ## style, by swift-format; must be clean
	$(SWIFT) format lint --strict --recursive --parallel $(SOURCES)

format: ## apply the style
	$(SWIFT) format --in-place --recursive --parallel $(SOURCES)

# What fuzzing needs beside Swift, which has libFuzzer: libstdc++ to link with it, and jq for the table of coverage.
FUZZ_PACKAGES := libstdc++-12-dev jq

fuzz-packages: ## install what fuzzing needs from Debian (needs root)
	@dpkg -s $(FUZZ_PACKAGES) >/dev/null 2>&1 || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(FUZZ_PACKAGES); }

# Under sanitizers, in folders of their own: .build/fuzz, .build/fuzz-work, and .build/fuzz-finds for what is found.
FUZZ_SECONDS ?= 60
FUZZ_MINUTES ?= 60
FUZZ_TARGETS ?=

fuzz-smoke: packages fuzz-packages ## a minute of fuzzing of each parser (FUZZ_SECONDS=60, FUZZ_TARGETS=all); fails on a find
	@Tests/Fuzz/fuzz.sh run $(FUZZ_SECONDS) $(FUZZ_TARGETS)

fuzz: packages fuzz-packages ## the same for so many minutes in all (FUZZ_MINUTES=60)
	@Tests/Fuzz/fuzz.sh share $(FUZZ_MINUTES) $(FUZZ_TARGETS)

fuzz-corpus: packages fuzz-packages ## what fuzzing has found of use so far, made small, becomes Tests/Fuzz/Corpus
	@Tests/Fuzz/fuzz.sh merge $(FUZZ_TARGETS)

fuzz-coverage: packages fuzz-packages ## lines of each parser that the corpus reaches
	@Tests/Fuzz/fuzz.sh coverage

check: lint test fuzz-smoke ## all that must be green before a commit

algorithm-table: build guest ## the README's table of symmetric algorithms: engines here and in a guest with AF_ALG, and peers
	@Tests/Guest/algorithm-table.sh

bench: build ## throughput and latency of the daemon on this machine, verified
	$(BUILD)/vhost-crypto bench --daemon $(BUILD)/vhost-user-crypto --size 64,1024,16KiB \
	  --op aes-128-cbc-encrypt --op aes-128-cbc-decrypt --op aes-128-gcm-encrypt --op hmac-sha256

peer-packages: ## install what building DPDK's back-end needs from Debian (needs root)
	@dpkg -s $(PEER_PACKAGES) >/dev/null 2>&1 || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PEER_PACKAGES); }

bench-peers: build peer-packages ## ours and DPDK's back-end in turn on the same core, ratios; some minutes on a quiet machine
	@Tests/Benchmarks/run-peers.sh

bench-guest: build guest ## a real guest on ours and on QEMU's own back-end in turn, ratios of throughput and latency
	@Tests/Benchmarks/run-guest.sh

bench-rsa: build ## RSA-2048 signatures through the device against openssl speed, with 1 and 2 helper threads
	Tests/Benchmarks/rsa-signatures.sh

bench-scrape: build ## what reading /metrics ten times a second costs; some 40 s on a quiet machine
	@Tests/Benchmarks/scrape-cost.sh

bench-recording: build ## what records of requests in flight and a log of written pages cost; 9 minutes on a quiet machine
	$(SWIFT) build -c release --product data-path-driver
	@Tests/Benchmarks/recording-cost.sh

bench-recording-off: build ## what the same costs where it is off: against a build without it; 10 minutes on a quiet machine
	$(SWIFT) build -c release --product data-path-driver
	@Tests/Benchmarks/recording-off.sh

record-instructions: packages test-packages ## record anew how many instructions requests take, and say what is different
	$(SWIFT) build -c release --product data-path-driver
	$(BUILD)/data-path-driver instructions --write Tests/DataPathDriver/instructions.json

clean: ## remove what was built
	rm -rf .build
