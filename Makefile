# Copyright (c) 2026, the chainops.lifecycle authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The parts of `make test` and their sessions, which noxfile.py and antsibull-nox.toml define.

sanity := sanity sanity-core2.16 sanity-python3.9 smoke-core2.16 hostile-core2.16.0
lint := ansible-lint mypy ruff format imports yamllint reuse shellcheck extra-checks antsibull-nox-config workflow
docs := roles tree dashboard antsibull-docs antsibull-changelog
unit := unit-python3.9 unit unit-core2.16
property := property
controller := controller
importer := importer
laboratory := laboratory stand-ins browser pytest-ansible
molecule := molecule
long := long accuracy simulations
bench := bench bench-report
mutation := mutation
PARTS := sanity lint docs unit property controller importer laboratory molecule long bench mutation

# The longest first, so that none is left alone at the end.
test := laboratory molecule roles sanity controller stand-ins
test += $(filter-out $(test),$(foreach part,$(filter-out long bench mutation,$(PARTS)),$($(part))))
test-quick := unit mypy ruff format imports yamllint reuse shellcheck extra-checks antsibull-nox-config
# One more than there are processors: sessions on hosts wait for most of their time.
JOBS := $(shell expr $$(nproc) + 1)

.PHONY: help demo test test-quick $(PARTS) venvs system system-demo build format guides changelog lock clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.* ## \(.*\)/make \1\t\2/p' Makefile | expand -t 17

demo: system-demo venv-core ## a small fleet of real systemd hosts, broken in several ways and recovered
	@PATH="$(CURDIR)/.venvs/core/bin:$$PATH" tests/demo/run

test: ## every test but those of make long: sanity lint docs unit property controller importer laboratory molecule
test-quick: ## before each commit: linters, types, unit tests; no hosts, under 3 minutes
sanity: ## ansible-test sanity on ansible-core 2.21 and 2.16, and on Python 3.9
lint: ## ruff, mypy, yamllint, ansible-lint, REUSE, shellcheck, the workflow; one: tools/nox --session mypy
docs: ## antsibull-docs, the changelog, and what the documents promise
unit: ## unit tests on the newest Python and ansible-core, and on the oldest
property: ## properties over generated input
controller: ## the objects and jobs of AWX: awx.awx, ansible-runner, ansible-builder, ansible-rulebook
importer: ## the built artefact through galaxy-importer
laboratory: ## tests on real systemd hosts, and of the stand-ins for Besu and for Cloudflare's edge
molecule: ## scenarios of the roles and playbooks on real systemd hosts
long: ## whole networks on real systemd hosts, accuracy of states, 10,000 simulations; not a part of make test
bench: ## benchmarks, as ratios to a reference measured in the same run; not a part of make test
mutation: ## list mutations of the quorum rules that no test notices; hours, not a part of make test

test $(PARTS): system
test test-quick $(PARTS):
	@mkdir -p .build && rm -f .build/$@.json
	-@tools/nox --parallel $(JOBS) --report .build/$@.json --session $($@)
	@.venvs/nox/bin/python -m tools.summary .build/$@.json $($@)

venvs: ## make the environment of every tool family
	@tools/nox --session venvs

venv-%:
	@tools/nox --session venvs -- $*

system: ## install the system packages that the tests need, where that is possible
	@tools/system-packages

system-demo:
	@tools/system-packages demo

build: venv-core ## build the artefact
	@PATH="$(CURDIR)/.venvs/core/bin:$$PATH" tools/build-artefact

format: venv-lint ## rewrite the Python files
	@.venvs/lint/bin/ruff check --fix . ; .venvs/lint/bin/ruff format .

guides: venv-core venv-lint ## write the generated parts of the guides anew
	@PYTHONPATH="$(CURDIR)/.build/link" .venvs/core/bin/python -m tools.generate_docs
	@PYTHONPATH="$(CURDIR)/.build/link" .venvs/core/bin/python -m tools.generate_monitoring
	@PYTHONPATH="$(CURDIR)/.build/link" .venvs/lint/bin/python -m tools.generate_dashboard

changelog: venv-lint ## take the fragments into the changelog
	@PATH="$(CURDIR)/.venvs/lint/bin:$$PATH" tools/changelog

lock: ## newer tools: resolve requirements/*.in anew
	@tools/nox --session lock

clean: ## remove what was built
	rm -rf .build .hypothesis .pytest_cache .mypy_cache .ruff_cache .ansible tests/output collections

distclean: clean ## and the environments and downloads
	rm -rf .venvs .cache
