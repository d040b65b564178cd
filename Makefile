# Two doors. Inside an OpenWrt tree (TOPDIR is set) this is the package recipe; anywhere else
# it is the developer's front door. OpenWrt's scanner finds sdk-build/netpolicy/Makefile by its
# last line; that line's words must not stand here, or the package would be listed twice.
ifneq ($(strip $(TOPDIR)),)
include $(dir $(lastword $(MAKEFILE_LIST)))sdk-build/openwrt.mk
else

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON := .venv/bin/python
# Programs are started a thousand times: what was compiled once stays, also where the machine wants no bytecode beside
# the sources. Not for `make mutants`: what changes twice within a second would be taken for the same.
PYTEST := env PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX=$(CURDIR)/build/bytecode $(PYTHON) -m pytest
# Four processes, a file each, for two processors: a router in namespaces waits more than it works.
PARALLEL := -n 4 --dist loadfile
# As root directly; as anybody else inside a user namespace that may own network namespaces.
PRIVILEGED := scripts/privileged

# Suites that run one set of cases over several adapters or programs.
CONTRACTS = tests/bus/test_contract.py tests/dataplane/test_netlink.py $(wildcard tests/*/test_*contract*.py)

.PHONY: help run test check lint fmt generated test-unit test-kernel test-contract test-vm test-ow prove soak mutants bench ipk venv clean

help: ## print this list
	@echo "NetPolicy. Start with: make run, make test"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r name text; do printf '%-22s %s\n' "$$name" "$$text"; done
	@echo
	@echo 'Choose tests with T, for example: make test-unit T="tests/core -k decide"'

run: ## the lab: a router, its providers and clients on this machine, live in the terminal
	@scripts/setup run
	@PATH="$$PATH:/usr/sbin:/sbin" .venv/bin/netpolicy lab $(ARGS)

test: ## everything: lint, then all tests (needs root or user namespaces; at most 12 minutes)
	@scripts/setup test
	@$(MAKE) lint-only
	@$(PRIVILEGED) --or-without-kernel $(PYTEST) $(PARALLEL) $(T)

check: ## before every commit: lint and the tests that need no privileges, under 3 minutes
	@scripts/setup test
	@$(MAKE) lint-only
	@$(PYTEST) -m "not kernel and not slow" $(T)

lint: ## ruff, mypy on the strict rooms, shell syntax and shellcheck
	@scripts/setup test
	@$(MAKE) lint-only

fmt: ## put Python files into the canonical form
	@scripts/setup test
	@$(PYTHON) -m ruff check --fix --quiet . || true
	@$(PYTHON) -m ruff format .

generated: ## files that are made of the code: the JSON Schema for editors, docs/lints.md, docs/doctor.md, docs/man
	@scripts/setup test
	@$(PYTHON) -m netpolicy.config.json_schema > editors/netpolicy.schema.json
	@$(PYTHON) -m netpolicy.config.lint_page > docs/lints.md
	@$(PYTHON) -m netpolicy.service.doctor_page > docs/doctor.md
	@$(PYTHON) -m netpolicy.daemon.manual docs/man

test-unit: ## tests without namespaces
	@scripts/setup test
	@$(PYTEST) -m "not kernel" $(T)

test-kernel: ## tests with packets in network namespaces
	@scripts/setup test
	@$(PRIVILEGED) $(PYTEST) -m kernel $(T)

test-contract: ## one suite over each adapter and its standard-library twin
	@scripts/setup test
	@$(PRIVILEGED) $(PYTEST) $(sort $(CONTRACTS)) $(T)

test-vm: ## real power cuts, the inspector on other kernels and machines, tunnels, in QEMU; 20 to 30 minutes (ALL=1: all cuts)
	@scripts/setup vm
	@scripts/vm-parts || echo "going on without: the tests skip with the reason" >&2
	@$(PYTEST) -m "$(if $(ALL),vm,vm and not slow)" tests/vm $(T)

test-ow: ## the LuCI page in a browser against OpenWrt's own programs (NETPOLICY_OPENWRT=FOLDER; a minute, root)
	@scripts/setup test
	@$(PYTEST) tests/openwrt $(T)

prove: ## reference, index and kernel agree on a million cases (SEEDS="0 100": the kernel alone, these seeds)
	@scripts/setup test
	@$(if $(SEEDS),,CASES=10000 $(PYTEST) -q tests/config/test_round_trip.py)
	@$(PRIVILEGED) $(PYTHON) -m tests.prove $(if $(SEEDS),kernel $(SEEDS))

fuzz: ## a million inputs per parser (FUZZ_COUNT=1000 FUZZ_PARSER=dsl FUZZ_SEED=2 FUZZ_ENGINE=own)
	@scripts/setup test
	@$(PYTHON) -m tests.fuzz --count $(or $(FUZZ_COUNT),1000000) --seed $(or $(FUZZ_SEED),1) \
		--engine $(or $(FUZZ_ENGINE),auto) $(addprefix --parser ,$(FUZZ_PARSER))

soak: ## random changes that meet random accidents (COUNT=1000 SEEDS=1 LABS=2; SEEDS: the first), after a death at every step
	@scripts/setup test
	@EVERY=1 $(PRIVILEGED) $(PYTEST) -q tests/acceptance/test_deaths.py
	@$(PRIVILEGED) $(PYTHON) -m tests.acceptance.soak $(or $(COUNT),1000) $(or $(SEEDS),1) $(LABS)

mutants: ## deliberate defects, each of which an acceptance test must notice (MUTANTS="3 19")
	@scripts/setup test
	@$(PRIVILEGED) $(PYTHON) -m tests.mutants $(MUTANTS)

bench: ## what rules cost: build/bench/*.json and a table (ARGS="--only path --rounds 3 --sizes 10,1000")
	@scripts/setup run
	@$(PRIVILEGED) $(PYTHON) -m benchmarks.run $(ARGS)

ipk: ## dist/*.ipk for the router, without the OpenWrt SDK
	@python3 sdk-build/ipk.py build

venv: ## .venv with netpolicy, netpolicyd and the development tools
	@scripts/setup venv

clean: ## remove what was built and measured here; keeps .venv
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find netpolicy tests sdk-build benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +

.PHONY: lint-only
lint-only:
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m ruff format --quiet --check . || { echo "not in canonical form: make fmt"; exit 1; }
	@$(PYTHON) -m mypy --no-error-summary
	@scripts/lint-shell

endif
