# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# make demo      a small fleet of real systemd hosts, broken in several ways and recovered
# make test      everything; its parts are the targets below
# What the parts run is written in tools/steps.toml.

SHELL := /bin/bash
PARTS := sanity lint docs unit property importer laboratory molecule bench
FAMILIES := core laboratory sanity lint importer compat oldest
VENV_sanity := sanity compat oldest
VENV_lint := lint
VENV_docs := lint core
VENV_unit := core sanity compat
VENV_property := core
VENV_importer := importer
VENV_laboratory := laboratory
VENV_molecule := core
VENV_bench := core

STEPS = "$$(tools/find-python 3.13 3.14 3.12)" -m tools.run_steps

.PHONY: help demo test $(PARTS) venvs system build format guides changelog lock clean distclean

help:
	@sed -n 's/^# make/make/p' Makefile
	@echo "parts:         $(PARTS)"
	@echo "others:        format (rewrite the Python files), build (the artefact), guides (generated parts), changelog, lock (newer tools), clean, distclean"

demo: system venv-core
	@PATH="$(CURDIR)/.venvs/core/bin:$$PATH" tests/demo/run

test: system
	@$(MAKE) --no-print-directory -j2 $(FAMILIES:%=venv-%)
	@$(STEPS) all

$(PARTS): system
	@$(MAKE) --no-print-directory -j2 $(VENV_$@:%=venv-%)
	@$(STEPS) $@

venvs: $(FAMILIES:%=venv-%)

venv-%:
	@tools/venv $*

system:
	@tools/system-packages

build: venv-core
	@PATH="$(CURDIR)/.venvs/core/bin:$$PATH" tools/build-artefact

format: venv-lint
	@.venvs/lint/bin/ruff check --fix . ; .venvs/lint/bin/ruff format .

guides: venv-core
	@PYTHONPATH="$(CURDIR)/.build/link" .venvs/core/bin/python -m tools.generate_docs

changelog: venv-lint
	@PATH="$(CURDIR)/.venvs/lint/bin:$$PATH" tools/changelog

lock:
	@for family in $(FAMILIES); do tools/venv --lock $$family || exit 1; done

clean:
	rm -rf .build .hypothesis .pytest_cache .mypy_cache .ruff_cache .ansible tests/output collections

distclean: clean
	rm -rf .venvs .cache
