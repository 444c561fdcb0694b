# Every target does its own set-up, on a machine that has python3 (3.11 or newer) and make. `make` alone lists them.
PYTHON3 ?= python3
VENV ?= .venv
PYTHON = $(VENV)/bin/python
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes
COMPILE = .venv-tools/bin/uv pip compile --quiet --universal --python-version=3.11 --generate-hashes \
	$(if $(PIP_INDEX_URL),--default-index=$(PIP_INDEX_URL))
PORT ?= 8002
SIMULATOR_PORT ?= 30000
TARGETS ?= 1000
INTERVAL ?= 60
SECONDS ?= 600

# An environment is ready when it holds the mark of the requirement file that it was made from, as that file is now.
mark = $1/.made-from-$(firstword $(shell cksum < $2))
DEVELOPMENT := $(call mark,$(VENV),tests/requirements.txt)
# The functions run on the Python that they are built for, and with them the AWS that runs them.
RUNTIME := $(call mark,.venv-3.13,tests/requirements.txt)
TOOLS := $(call mark,.venv-tools,tests/requirements-tools.txt)
SCHEMATHESIS := $(call mark,.venv-schemathesis,tests/requirements-schemathesis.txt)
AUDIT := $(call mark,.venv-audit,tests/requirements-audit.txt)
CHECKOV := $(call mark,.venv-checkov,tests/requirements-checkov.txt)
FUZZ := $(call mark,.venv-fuzz,tests/requirements-fuzz.txt)
# AWS's emulator of the Lambda runtime comes inside sam's wheel; the tests need nothing else of it.
EMULATOR := $(call mark,$(VENV)/emulator,tests/requirements-tools.txt)

.PHONY: help demo collect serve targets export stack e2e openapi contract test fuzz lint audit build bench cost redrive requirements
help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-14s%s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo collect serve targets export stack e2e openapi contract bench cost redrive: export PYTHONPATH := functions
lint build: export SAM_CLI_TELEMETRY := 0
stack e2e: export ARCHITECTURE := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)

demo: $(DEVELOPMENT)  ## Scrape a simulated server with the real handler and show what was read and stored
	$(PYTHON) -m local.demo

collect: $(DEVELOPMENT)  ## Scrape your own server: make collect URL=http://host:30000/metrics
	$(if $(URL),,$(error say which server: make collect URL=http://host:30000/metrics))$(PYTHON) -m local.collect "$$URL"

serve: $(DEVELOPMENT)  ## The API at http://127.0.0.1:8002, a simulated server on 30000 (PORT=, SIMULATOR_PORT=, BIND_HOST=)
	$(PYTHON) -m local.serve --port=$(PORT) --simulator-port=$(SIMULATOR_PORT)

targets: $(DEVELOPMENT)  ## Register a fleet: make targets FILE=fleet.yaml STACK=sglang-collector (or TABLE=; YES=1, PRUNE=1)
	$(if $(FILE),,$(error say which fleet: make targets FILE=fleet.yaml STACK=sglang-collector))$(PYTHON) -m local.targets "$$FILE"

export: $(DEVELOPMENT)  ## A history as CSV: make export INSTANCE=sglang-001 START=-1d STACK=sglang-collector (END=, STEP=, FIELDS=, FILE=)
	$(if $(INSTANCE),,$(error say which server: make export INSTANCE=sglang-001 START=-1d STACK=sglang-collector))@$(PYTHON) -m local.export "$$INSTANCE"

stack: $(RUNTIME) build  ## The whole template at work on simulated servers, until Ctrl-C (PORT=, SERVERS=; needs python3.13)
	.venv-3.13/bin/python -m local.stack

e2e: $(RUNTIME) build  ## The same for three ticks of the schedule, checked: five minutes (SERVERS=; needs python3.13)
	.venv-3.13/bin/python -m tests.e2e

openapi: $(DEVELOPMENT)  ## The OpenAPI document of the API: make openapi > openapi.json
	@$(PYTHON) -m local.openapi

contract: $(DEVELOPMENT) $(SCHEMATHESIS)  ## What the document allows and forbids, asked of the API by schemathesis (EXAMPLES=, SEED=)
	$(PYTHON) -m tests.contract .venv-schemathesis/bin/schemathesis

test: $(DEVELOPMENT) $(EMULATOR)  ## The whole suite, with its coverage
	$(PYTHON) -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile --cov --cov-report=term

fuzz: $(FUZZ)  ## Inputs that nobody wrote, on the parser, the codec and the API, on two processors (SECONDS=, SEED=; on Linux)
	.venv-fuzz/bin/python -m tests.fuzz $(SECONDS) $(SEED)

lint: $(DEVELOPMENT) $(TOOLS) $(CHECKOV)  ## Style, types, licences and the template
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy functions
	$(PYTHON) -m tests.supply_chain.licences
	$(VENV)/bin/cfn-lint template.yaml
	.venv-tools/bin/sam validate --lint
	.venv-checkov/bin/checkov --file=template.yaml --framework=cloudformation --compact --quiet --skip-download

audit: $(DEVELOPMENT) $(AUDIT)  ## What is known against the packages that are shipped; asks the network, and says so if it cannot
	$(PYTHON) -m tests.supply_chain.audit .venv-audit/bin/pip-audit

build: $(TOOLS)  ## The functions as they are deployed, in .aws-sam (needs python3.13)
	.venv-tools/bin/sam build

bench: $(DEVELOPMENT)  ## The parser, quantiles, what is stored, a day read back, a fleet of 1,000 servers and a tick for 10,000 targets, each beside others
	$(PYTHON) -m tests.bench

cost: $(DEVELOPMENT)  ## What a fleet costs in a month, line by line: make cost TARGETS=1000 INTERVAL=60
	$(PYTHON) -m local.cost --targets=$(TARGETS) --interval=$(INTERVAL)

redrive: $(DEVELOPMENT)  ## Send again what ended in the dead-letter queue: make redrive STACK=sglang-collector
	$(if $(STACK),,$(error say which stack: make redrive STACK=sglang-collector))$(PYTHON) -m local.redrive "$$STACK"

requirements: $(TOOLS)  ## Pin again what the requirements.in files ask for (UPGRADE=--upgrade for the newest)
	$(foreach file,functions/requirements tests/requirements tests/requirements-tools tests/requirements-checkov \
		tests/requirements-schemathesis tests/requirements-audit tests/requirements-fuzz,\
		UV_CUSTOM_COMPILE_COMMAND='make requirements' $(COMPILE) $(UPGRADE) $(file).in --output-file=$(file).txt &&) true

$(DEVELOPMENT) $(RUNTIME): REQUIREMENTS = tests/requirements.txt
$(TOOLS): REQUIREMENTS = tests/requirements-tools.txt
$(CHECKOV): REQUIREMENTS = tests/requirements-checkov.txt
$(SCHEMATHESIS): REQUIREMENTS = tests/requirements-schemathesis.txt
$(AUDIT): REQUIREMENTS = tests/requirements-audit.txt
$(FUZZ): REQUIREMENTS = tests/requirements-fuzz.txt
$(RUNTIME): override PYTHON3 = $(or $(shell $(MAKE) --silent -C functions runtime-python),$(error the functions need python3.13: none is here))
$(sort $(DEVELOPMENT) $(RUNTIME) $(TOOLS) $(CHECKOV) $(SCHEMATHESIS) $(AUDIT) $(FUZZ)):
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "too old: make PYTHON3=python3.13, say")'
	@echo "Setting up $(@D), once: a minute or so."
	rm -rf $(@D)
	$(PYTHON3) -m venv $(@D)
	$(@D)/bin/python $(PIP_INSTALL) --requirement=$(REQUIREMENTS)
	touch $@

$(EMULATOR): $(DEVELOPMENT)
	rm -rf $(@D)
	sed -n '/^aws-sam-cli==/,/[^\\]$$/p' tests/requirements-tools.txt > $(VENV)/emulator.txt
	$(PYTHON) $(PIP_INSTALL) --target=$(@D) --requirement=$(VENV)/emulator.txt
	touch $@
