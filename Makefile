# What a person does here. `make` alone tells. Everything works from a fresh clone with Rust, make and a C compiler.

SHELL = /bin/sh
CARGO ?= cargo
FUZZ_SECONDS ?= 60
SIM_SEEDS ?= 2000
SIM_FIRST ?= 1
FUZZ_TARGETS = regions_toml hostname authority target steer geo_file geo_list proxy_header http2_frames websocket dns_message

# What tests run besides Rust: programs, and Debian's packages that bring them.
TEST_PROGRAMS = curl:curl script:bsdutils python3:python3-venv node:nodejs npm:npm chromium:chromium \
	dig:bind9-dnsutils kdig:knot-dnsutils drill:ldnsutils ldns-verify-zone:ldnsutils delv:bind9-dnsutils dnssec-verify:bind9-utils unbound:unbound nsd:nsd \
	knotd:knot,knot-module-geoip gdnsd:gdnsd pebble:pebble fstrm_capture:fstrm-bin prometheus:prometheus promtool:prometheus exim4:exim4-daemon-light
# Where Debian has servers.
export PATH := $(PATH):/usr/sbin:/sbin

.DEFAULT_GOAL = help
.PHONY: help run lab test test-needs test-clients bench load sim bench-machines fuzz geoip

help: ## what there is to do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' \
	| while IFS="$$(printf '\t')" read -r name about; do printf '  make %-16s %s\n' "$$name" "$$about"; done

run: ## a whole world on loopback with the real router in front, ready for curl
	@$(CARGO) build --quiet --bin anyfront
	@target/debug/anyfront lab $(LAB)

test: test-needs test-clients ## formatting, lints with warnings as errors, all tests
	@echo "== formatting"
	@$(CARGO) fmt --all --check
	@echo "== lints"
	@$(CARGO) clippy --quiet --workspace --all-targets -- -D warnings
	@echo "== tests"
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --workspace --no-fail-fast --status-level fail --final-status-level slow; \
	else \
		$(CARGO) test --workspace --quiet --no-fail-fast; \
	fi
	@if [ -s target/test-skipped ]; then \
		echo; echo "!! SKIPPED, because something is missing:"; sed 's/^/!!   /' target/test-skipped; \
	else \
		echo "== nothing was skipped"; \
	fi

# Installs Debian's packages; servers are not started as services.
install = (policy=/usr/sbin/policy-rc.d; \
	[ -e $$policy ] || { printf '\#!/bin/sh\nexit 101\n' > $$policy; chmod +x $$policy; trap "rm -f $$policy" EXIT; }; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(1)) >/dev/null || true

# Installs what is missing where that is possible; notes what stays missing, so that nobody takes silence for proof.
test-needs:
	@mkdir -p target && : > target/test-skipped
	@missing=; packages=; for need in $(TEST_PROGRAMS); do command -v $${need%:*} >/dev/null 2>&1 || { \
		missing="$$missing $${need%:*}"; packages="$$packages $$(echo $${need#*:} | tr , ' ')"; }; done; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
			echo "== installing$$missing"; \
			$(call install,$$packages); \
		fi; \
		for program in $$missing; do \
			command -v $$program >/dev/null 2>&1 || echo "tests that need $$program" >> target/test-skipped; \
		done; \
	fi

# The official SDKs and clients that customers use, as pinned in tests/clients, into target/clients; a browser is
# Debian's. Nothing to do when the lists have not changed.
test-clients: test-needs
	@tests/clients/install | sed 's/^/tests with /' >> target/test-skipped

# Sanitizers need a nightly compiler and find nothing in a crate that forbids unsafe code: coverage alone guides.
# New inputs are kept in fuzz/corpus on this machine; the seeds in fuzz/seeds are small and everybody's.
fuzz: ## throws things at the parsers, FUZZ_SECONDS (60) for each target
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install --quiet --locked cargo-fuzz
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/corpus/$$target; \
		echo "== $$target, $(FUZZ_SECONDS) s"; \
		RUSTC_BOOTSTRAP=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
			$(CARGO) fuzz run -s none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=16384 -verbosity=0 -print_final_stats=1 || exit 1; \
	done

BENCH_PACKAGES = nginx-light haproxy wrk nghttp2-client knot knot-module-geoip gdnsd nsd ldnsutils
bench: ## CPU per request beside nginx and HAProxy (BENCH="--rounds 3 --only get,tls"), per answer beside Knot, gdnsd and NSD (BENCH_NAMES=…)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		for program in nginx haproxy wrk h2load knotd gdnsd nsd ldns-signzone; do command -v $$program >/dev/null 2>&1 || { \
			$(call install,$(BENCH_PACKAGES)); break; }; done; fi
	@$(CARGO) bench --bench doors -- $(BENCH)
	@$(CARGO) bench --bench names -- $(BENCH_NAMES)

# Quick to build rather than quick to run: the whole world shares the machine with the router.
load: test-clients ## kills every region and pair under 2,000 requests a second, reloads for a minute, cuts 10,000 streams (ten minutes)
	@CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		ANYFRONT_LOAD_RPS=$${ANYFRONT_LOAD_RPS:-2000} ANYFRONT_RELOAD_SECONDS=$${ANYFRONT_RELOAD_SECONDS:-60} \
		$(CARGO) test --release --test outage_load --test reload -- --nocapture --test-threads=1
	@CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		ANYFRONT_CUT_STREAMS=$${ANYFRONT_CUT_STREAMS:-10000} \
		$(CARGO) test --release --test clients truncation -- --nocapture --test-threads=1
	@CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 ANYFRONT_PACE_MS=50 \
		$(CARGO) test --release --test clients pace -- --nocapture --test-threads=1
	@CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		ANYFRONT_DNS_QUESTIONS=$${ANYFRONT_DNS_QUESTIONS:-100000} \
		$(CARGO) test --release --test dns_differential --test dns_subnets -- --nocapture --test-threads=1

# One seed is one hour of a world of its own. The shortest script that breaks a promise is printed as a scenario.
sim: ## random outages in virtual time until a promise breaks: SIM_SEEDS (2000) hours where anything may fail, a fifth of that with a healthy core
	@CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 $(CARGO) build --quiet --release --bin anyfront
	@target/release/anyfront simulate --config regions.toml --search $(SIM_SEEDS) --from-seed $(SIM_FIRST)
	@target/release/anyfront simulate --config regions.toml --search $$(( $(SIM_SEEDS) / 5 )) --from-seed $(SIM_FIRST) --liveness

bench-machines: ## what steering, geography and control cost, quickly
	@$(CARGO) bench --bench machines -- --quick

geoip: ## the database in the box anew, from Debian's tor-geoipdb
	@test -r /usr/share/tor/geoip || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends tor-geoipdb; }
	@$(CARGO) run --quiet -- geoip build --from /usr/share/tor --out geoip/country.mmdb.gz
