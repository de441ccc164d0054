# One command per wish. `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# What Debian 12 has to bring beside Swift 6.3.
BUILD_PACKAGES := liburing-dev libssl-dev
GUEST_PACKAGES := qemu-system-x86 busybox-static cpio xz-utils openssl jq
SWIFT ?= swift
BUILD := .build/release
SOURCES := Sources Tests Package.swift

.PHONY: help packages guest-packages build run test test-fast lint format check bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

packages: ## install what building needs from Debian (needs root)
	@dpkg -s $(BUILD_PACKAGES) >/dev/null 2>&1 || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(BUILD_PACKAGES); }

guest-packages: ## install what the test guest needs from Debian (needs root)
	@dpkg -s $(GUEST_PACKAGES) >/dev/null 2>&1 || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(GUEST_PACKAGES); }

build: packages ## build the daemon and the tool, optimised
	$(SWIFT) build -c release --product vhost-user-crypto
	$(SWIFT) build -c release --product vhost-crypto

run: build guest-packages ## the main job: a real Linux guest in QEMU encrypts through the daemon
	Tests/Guest/guest-assets.sh
	Tests/Guest/run.sh

test: packages guest-packages ## everything that must pass, the real guest included
	$(SWIFT) build -c release --build-tests
	Tests/Guest/guest-assets.sh
	$(SWIFT) test -c release --skip-build

test-fast: packages ## the tests without the real guest
	$(SWIFT) test -c release --skip RealGuest

lint: ## style, by swift-format; must be clean
	$(SWIFT) format lint --strict --recursive --parallel $(SOURCES)

format: ## apply the style
	$(SWIFT) format --in-place --recursive --parallel $(SOURCES)

check: lint test ## all that must be green before a commit

bench: build ## throughput and latency of the daemon on this machine, verified
	Tests/Benchmarks/bench.sh

clean: ## remove what was built
	rm -rf .build
