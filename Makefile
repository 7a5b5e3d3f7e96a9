# Everything that there is to run. `make` alone lists it.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
ready := .venv/.ready

# An experiment of DVC is a commit, which wants a name even where git has none.
export GIT_AUTHOR_NAME ?= $(or $(shell git config user.name),pipeline)
export GIT_AUTHOR_EMAIL ?= $(or $(shell git config user.email),pipeline@localhost)
export GIT_COMMITTER_NAME ?= $(GIT_AUTHOR_NAME)
export GIT_COMMITTER_EMAIL ?= $(GIT_AUTHOR_EMAIL)

.PHONY: help setup demo repro verify gate report seeds experiment lesson ladder best test check bench lock schema

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(ready) ## Build .venv from requirements.lock, once

# Bytecode is compiled even where PYTHONDONTWRITEBYTECODE is set: it halves the start of TensorFlow.
# One package has no wheel; the hash of its source is checked like the others'.
$(ready): requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	"$(PYTHON) is Python %d.%d, 3.11 to 3.13 are supported: make setup PYTHON=python3.12" % v)'
	$(PYTHON) -m venv --clear .venv
	python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes \
		--only-binary :all: --no-binary antlr4-python3-runtime -r requirements.lock
	python -m compileall -q -j 0 .venv/lib
	python -c 'import matplotlib.font_manager'
	@touch $@

demo: setup ## Run the four stages on the digits in this repository, without a download
	dvc exp run --set-param dataset.name=digits
	@echo
	@dvc metrics show metrics/train.json metrics/evaluate.json
	@echo
	@echo 'Pictures:       metrics/curves.png  metrics/confusion.png  metrics/mistakes.png'
	@echo 'To MNIST:       dvc exp run --set-param dataset.name=mnist'
	@echo 'As committed:   git restore params.yaml dvc.lock metrics'
	@echo 'dvc is in .venv: source .venv/bin/activate'

repro: setup ## Rerun the stages whose inputs changed, on the dataset of params.yaml
	dvc repro

verify: setup ## Prove that the committed results come out again, in a clone, without any cache
	python -m pipeline.verify

gate: setup ## Compare with an earlier revision: make gate BASELINE=REV
	python -m pipeline.gate $(if $(BASELINE),--baseline '$(BASELINE)')

report: setup ## Write report.html, the comparison with pictures: make report BASELINE=REV
	python -m pipeline.report $(if $(BASELINE),--baseline '$(BASELINE)')

seeds: setup ## Train the committed parameters with more seeds, for the gate: make seeds SEEDS=5
	@python -m experiments.seeds $(if $(SEEDS),--seeds '$(SEEDS)') $(if $(JOBS),--jobs '$(JOBS)')

experiment: setup ## Run a set of experiments/sets.yaml: make experiment NAME=cnn-small SEED=3
	@python -m experiments.run '$(NAME)' $(if $(SEED),--seed '$(SEED)')

lesson: setup ## Run the experiments of the lesson: make lesson SEEDS=5 JOBS=1
	@python -m experiments.lesson $(if $(SEEDS),--seeds '$(SEEDS)') $(if $(JOBS),--jobs '$(JOBS)')

ladder: setup ## Measure a set over seeds: make ladder NAME=mlp-best SEEDS=5
	@python -m experiments.ladder '$(NAME)' $(if $(SEEDS),--seeds '$(SEEDS)')

best: setup ## Name the experiment that validates best: make best METRIC=val_accuracy
	@python -m experiments.best $(if $(METRIC),--metric '$(METRIC)')

test: setup ## Run the test suite
	python -m pytest

check: setup ## Lint, check the format, check the types, check the workflows
	ruff check
	ruff format --check
	mypy
	zizmor --offline --quiet .github

bench: setup ## Measure against the plain way: make bench MNIST=FOLDER of the four archives
	python -m benchmarks.bench $(MNIST)

lock: ## Renew requirements.lock: the newest versions that fit together, for every Python
	tool=$$(mktemp -d) && $(PYTHON) -m venv $$tool && $$tool/bin/pip install --quiet uv && \
		$$tool/bin/uv pip compile pyproject.toml --group dev --universal --upgrade --quiet \
		--generate-hashes --no-header --no-annotate --output-file requirements.lock; \
		status=$$?; rm -rf $$tool; exit $$status

schema: setup ## Renew params.schema.json after a change of pipeline/params.py
	python -m pipeline.params > params.schema.json
