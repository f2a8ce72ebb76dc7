# Two commands matter: `make report` and `make test`. Both set up .venv first, when it is missing or out of date.

READY := .venv/.ready
BIN := .venv/bin
UV ?= uv
# Outputs tagged keep_output stay, and nbval compares them only in cells that still have their execution count.
STRIP := $(BIN)/nbstripout --keep-count

# The lock was made for CPython 3.11 on x86-64 Linux, so there that version is tried first.
ifneq ($(PYTHON),)
CANDIDATES := "$(PYTHON)"
else ifeq ($(shell uname -sm),Linux x86_64)
CANDIDATES := python3.11 python3.12 python3.13 python3 python
else
CANDIDATES := python3.12 python3.13 python3.11 python3 python
endif

# .ready holds the folder it was made in. A .venv is redone when it was copied from elsewhere, when its interpreter is
# gone, and when PYTHON names another one.
IDENTITY := import sys; print(sys.base_prefix, sys.version)
INTACT := $(shell [ "$$(cat $(READY) 2>/dev/null)" = "$$PWD" ] && has=$$($(BIN)/python -c '$(IDENTITY)' 2>/dev/null) && \
  { [ -z "$(PYTHON)" ] || [ "$$("$(PYTHON)" -c '$(IDENTITY)' 2>/dev/null)" = "$$has" ]; } && echo yes)

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help report test lab setup publish faults speed calibration peers lint format lock clean FORCE

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

report: $(READY) ## regenerate the stale reports; open reports/latest/index.html
	@$(BIN)/claims report --all

test: lint ## lint, then unit tests, docstring examples and notebooks
	@$(BIN)/python -m pytest

lab: $(READY) ## open JupyterLab on the overview
	@$(BIN)/claims explore

setup: $(READY) ## make .venv: from requirements.lock where it applies, else from pyproject.toml
	@echo "$$($(BIN)/python --version) and the packages are ready in .venv."

publish: report ## regenerate, then record the numbers in reports/published.json
	@$(BIN)/claims publish

faults: $(READY) ## for maintainers: 120 kills, full disks, endless cells, 1,000 damaged tables; half an hour
	@FAULTS=full $(BIN)/python -m pytest -s tests/faults

speed: $(READY) ## for maintainers: all reports beside plain papermill, a quarter of an hour; docs/speed.md has a run
	@$(BIN)/python bench/suite.py

calibration: $(READY) ## for maintainers: simulate every rule, an hour on two cores; goes on where it was stopped
	@$(BIN)/python bench/calibration.py

peers: $(READY) ## for maintainers: the pause rule beside CausalPy and statsmodels, an hour
	@$(BIN)/python -m pip install -qq '.[bench]'
	@$(BIN)/python bench/peers.py

lint: $(READY) ## check style and that notebooks hold no stray output
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format --check -q . || { echo "make: formatting differs, run: make format" >&2; exit 1; }
	@$(STRIP) --verify notebooks/*.ipynb || { echo "make: stray notebook output, run: make format" >&2; exit 1; }

format: $(READY) ## rewrite the code in the house style, strip the notebooks
	@$(BIN)/ruff check -q --fix-only .
	@$(BIN)/ruff format -q .
	@$(STRIP) notebooks/*.ipynb

lock: ## for maintainers: resolve requirements.lock anew (needs uv)
	@$(UV) pip compile pyproject.toml --extra dev --extra data --upgrade --python-version 3.11 \
	  --python-platform x86_64-unknown-linux-gnu --generate-hashes --no-header --no-annotate \
	  --quiet --output-file requirements.lock

clean: ## remove .venv and caches; reports stay
	@rm -rf .venv .pytest_cache .ruff_cache .hypothesis build *.egg-info notebooks/.ipynb_checkpoints
	@find analysis_lib tests -name __pycache__ -prune -exec rm -rf {} +

ifneq ($(INTACT),yes)
$(READY): FORCE
endif

FITS := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
LOCKED := import platform, sys, sysconfig; sys.exit((platform.python_implementation(), sys.version_info[:2], \
  sysconfig.get_platform(), platform.libc_ver()[0]) != ("CPython", (3, 11), "linux-x86_64", "glibc"))

# A pyenv shim may exist and fail, and Debian ships python3 without venv: a candidate counts only when it runs.
# .ready goes before anything changes and comes back last: an interrupted set-up starts again from an empty folder.
$(READY): requirements.lock pyproject.toml
	@[ "$(INTACT)" = yes ] && exit 0; \
	fits= python=; \
	for candidate in $(CANDIDATES); do \
	  "$$candidate" -c '$(FITS)' >/dev/null 2>&1 || continue; \
	  fits=$$candidate; \
	  "$$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1 && { python=$$candidate; break; }; \
	done; \
	if [ -z "$$fits" ]; then \
	  echo "make: no Python 3.11, 3.12 or 3.13 runs here (tried: "$(CANDIDATES)"); install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	elif [ -z "$$python" ]; then \
	  echo "make: $$fits cannot make virtual environments; install its venv package (Debian, Ubuntu: python3-venv), or name another: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	rm -f $(READY); "$$python" -m venv --clear .venv
	@rm -f $(READY)
	@if $(BIN)/python -c '$(LOCKED)'; then \
	  echo "Installing the packages of requirements.lock into .venv; this takes about a minute."; \
	  $(BIN)/python -m pip install -qq --require-hashes --only-binary :all: -r requirements.lock && \
	  $(BIN)/python -m pip install -qq --no-deps --no-build-isolation --no-index -e .; \
	else \
	  echo "requirements.lock is for CPython 3.11 on x86-64 Linux and does not apply here: installing the ranges of pyproject.toml into .venv."; \
	  $(BIN)/python -m pip install -qq -e '.[dev,data]'; \
	fi
	@pwd > $(READY)
