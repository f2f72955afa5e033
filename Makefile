# Every target does what its line in `make help` says; CI and the docs call the same ones.
SHELL := /bin/bash -o pipefail
PYTHON ?= $(shell command -v python3.11 || command -v python3)
EXTRAS := train serve pipeline dev
HTTP_PORT ?= 8080
GRPC_PORT ?= 8081
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export MODEL_URI ?= models:/sentiment@champion

.DEFAULT_GOAL := help
.PHONY: help demo train serve mlflow test lint format compile lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

demo: .venv/installed ## Reviews in, champion out, two predictions over HTTP: the whole system once
	python -m pipelines.demo

train: .venv/installed ## Run the stages that are out of date (dvc repro)
	dvc repro

serve: .venv/installed ## Keep the champion served, on HTTP_PORT (8080) and GRPC_PORT (8081)
	python -m serving --http_port $(HTTP_PORT) --grpc_port $(GRPC_PORT)

mlflow: .venv/installed ## Open the tracking UI on port 5000
	mlflow server --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000 --workers 1

test: lint ## Check style and types, then run all tests, with real servers
	pytest

lint: .venv/installed ## Check style, types and that the compiled pipelines are fresh
	ruff check .
	ruff format --check .
	mypy

format: .venv/installed ## Mend what the linter can mend
	ruff check --fix .
	ruff format .

compile: .venv/installed ## Compile the Kubeflow pipelines to pipelines/compiled
	python -m pipelines.compile

lock: .venv/installed ## Resolve setup.cfg anew into requirements/*.txt, with hashes
	uv pip compile setup.cfg --extra dev --output-file requirements/dev.txt \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
	for extra in $(filter-out dev,$(EXTRAS)); do \
	  uv pip compile setup.cfg --extra $$extra --output-file requirements/$$extra.txt \
	    --constraints requirements/dev.txt \
	    --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet || exit; \
	done

clean: ## Remove what the stages made; the registry and the virtual environment stay
	rm -rf data models reports

.venv/installed: requirements/dev.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v == (3, 11) or sys.exit("Python 3.11 is needed, this is %d.%d: make PYTHON=..." % v)'
	@echo "Installing $$(grep -c '==' $<) locked packages into .venv, for a minute or two"
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@
