# One command each: `make demo` shows it, `make test` checks everything, `make verify-main` runs the acceptance list.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SHELL  := /bin/bash

.PHONY: help docs picture demo test faults fuzz check bench fleet fast-test install-tools verify-main verify-run wheel-smoke sbom lock clean deb deb-walk mutation

help:
	@echo "make demo          a simulated lab on this machine: three analysers, the agent, a broker, a management system"
	@echo "make test          install what the tests need, then lint, types, contracts and all tests"
	@echo "make faults        break everything on purpose, in full, and write the table of docs/reliability.md (as root; hours)"
	@echo "make fuzz          every reader of bytes under a fuzzer for SECONDS=60 each; what it finds is kept in build/fuzz/"
	@echo "make verify-main   the acceptance list, a line per item (about 15 minutes)"
	@echo "make verify-run    the same for what it takes to run it for real: package, security, contract, fleet (as root, about 30 minutes)"
	@echo "make wheel-smoke   build the wheel, install it outside the checkout, run it"
	@echo "make deb           build dist/ivd-edge-agent_VERSION_ARCHITECTURE.deb, for the Debian this runs on"
	@echo "make deb-walk      from a bare Debian 12 to a filed result by that package alone, then upgrade and purge it (as root)"
	@echo "make sbom          write dist/ivd-edge-agent-VERSION.cdx.json, the bill of materials (CycloneDX 1.6)"
	@echo "make docs          write the pages that are made from tables; make picture: docs/demo.svg"
	@echo "make bench         measure speed and size against their targets, write docs/benchmarks.md (about 8 minutes)"
	@echo "make fleet         1,000 gateways on one broker, in figures (about 2 minutes); GATEWAYS=50 for a smaller one"
	@echo "make mutation      change what must not lose a result in every small way, see that a test fails; MODULE=path, SAMPLE=200 SEED=1"
	@echo "make lock          write requirements/*.txt anew"

demo: $(VENV)/.run
	@$(BIN)/python -m simulators.demo $(if $(KEEP),--keep)

test: install-tools $(VENV)/.dev
	$(MAKE) --no-print-directory check
	$(BIN)/python tests/side_by_side.py
	$(MAKE) --no-print-directory wheel-smoke

faults: install-tools $(VENV)/.dev
	PYTHONPATH=.:tests $(BIN)/python -m faults.run $(ONLY)
	$(MAKE) --no-print-directory fuzz

# Only for this: a fuzzer that mutates what reaches new code.
fuzz: $(VENV)/.dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	@mkdir -p build
	@PYTHONPATH=.:tests $(BIN)/python -m faults.fuzz.table | tr ' ' '\n' | \
		PYTHONPATH=.:tests xargs -P $$(nproc) -I TARGET bash tests/faults/fuzz/one.sh $(BIN)/python TARGET $(or $(SECONDS),60)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fast-test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m "not slow and not broker"

install-tools:
	@bash tests/install-tools.sh

verify-main verify-run: install-tools
	@$(PYTHON) tests/verify.py $(@:verify-%=%)

wheel-smoke: $(VENV)/.dev
	@bash tests/wheel-smoke.sh $(BIN)/python

deb: $(VENV)/.dev
	@bash config/debian/build.sh $(BIN)/python

deb-walk: $(VENV)/.dev
	@bash tests/install-tools.sh debootstrap
	@$(BIN)/python tests/deb_package/walk.py $(BIN)/python

sbom: $(VENV)/.dev
	@bash requirements/sbom.sh $(BIN)/python

lock: $(VENV)/.dev
	@bash requirements/lock.sh $(BIN)/python

bench: install-tools $(VENV)/.dev
	PYTHONPATH=.:tests $(BIN)/python -m benchmarks.run $(if $(ROWS),--rows $(ROWS))

fleet: install-tools $(VENV)/.dev
	@PYTHONPATH=.:tests $(BIN)/python -m fleet.run $(if $(GATEWAYS),--gateways $(GATEWAYS))

mutation: install-tools $(VENV)/.dev
	@PYTHONPATH=.:tests nice $(BIN)/python -m mutation.run $(if $(MODULE),--module $(MODULE)) \
		$(if $(SAMPLE),--sample $(SAMPLE) --seed $(or $(SEED),1)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(PAGE),--write-page)

docs: $(VENV)/.dev
	PYTHONPATH=.:tests $(BIN)/python tests/architecture/generated_docs.py

picture: $(VENV)/.dev
	$(BIN)/python tests/architecture/demo_picture.py

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The demonstration needs the run-time packages only; the tests need the rest. Both are pinned by hash.
$(VENV)/.run: requirements/run.txt pyproject.toml
	@echo "Installing into $(VENV) (once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml
	@echo "Installing into $(VENV) (once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
