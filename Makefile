# Everything there is to run. `make` alone lists it.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
ready := .venv/.ready

# Other groups of pyproject.toml, each with a lock of what it adds to requirements.lock. All are
# resolved at once, so that a package has one version in all of them.
extra_groups := cluster export notebook parquet remotes servers

# What would make Python import something other than this folder and .venv.
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH

# A DVC experiment is a commit, which needs a name even where git has none.
export GIT_AUTHOR_NAME ?= $(or $(shell git config user.name),pipeline)
export GIT_AUTHOR_EMAIL ?= $(or $(shell git config user.email),pipeline@localhost)
export GIT_COMMITTER_NAME ?= $(GIT_AUTHOR_NAME)
export GIT_COMMITTER_EMAIL ?= $(GIT_AUTHOR_EMAIL)

# $(call option,--seeds,SEEDS): the option with the value of a variable, if it has one. Neither make
# nor the shell interprets the value.
value_of = '$(subst ','\'',$(value $(1)))'
option = $(if $(value $(2)),$(1) $(call value_of,$(2)))
unexport BASELINE CONFIDENCE CPUS CSV FILES FORMAT GIT_REMOTE GPUS GRID HEADER JOBS JSON LICENSE METRIC MNIST MODEL N
unexport NAME QUANTIZE RAY_ADDRESS REV SEED SEEDS SHOW SPACE SPLIT TRIALS VALIDATION

# How many experiments run: through DVC's queue, or on a cluster (docs/clusters.md).
way = $(call option,--jobs,JOBS) $(call option,--ray-address,RAY_ADDRESS) $(call option,--cpus,CPUS) \
	$(call option,--gpus,GPUS) $(call option,--git-remote,GIT_REMOTE)

pip_install = python -u -m pip install --disable-pip-version-check --require-hashes --only-binary :all:

# Counts the packages that pip collects, on a terminal; exits as pip did.
progress = while read -r word name rest; do \
	case "$$word" in \
	Collecting | Processing) \
		count=$$((count + 1)); name=$${name\#\#*/}; \
		[ ! -t 1 ] || printf '\r\033[K%d of about %d: %.50s' $$count $(shell grep -c == requirements.lock) "$$name" ;; \
	Installing) \
		[ "$$name" != collected ] || { [ ! -t 1 ] || printf '\r\033[K'; echo 'installing them, another minute'; } ;; \
	exit) exit "$$name" ;; \
	esac; done

.NOTPARALLEL: # make restore repro is one after the other
.PHONY: help setup demo repro train-workers verify gate predict page export report card seeds experiment lesson notebook ladder
.PHONY: best compare search sweep restore extras test check bench lock clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(ready) params.schema.json ## Install requirements.lock into .venv, once

# Bytecode is compiled even where PYTHONDONTWRITEBYTECODE is set: it halves the start of TensorFlow.
# One package has no wheel; the hash of its source is checked like the others'.
$(ready): requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	"$(PYTHON) is Python %d.%d, 3.11 to 3.13 are supported: make setup PYTHON=python3.12" % v)'
	@echo 'Installing requirements.lock into .venv: 2 to 5 minutes, 2.6 GB on the disk'
	@$(PYTHON) -m venv .venv
	@{ $(pip_install) --no-compile --no-binary antlr4-python3-runtime -r requirements.lock; \
		echo "exit $$?"; } | $(progress)
	@echo 'compiling them, so that they start faster: half a minute'
	@python -m compileall -q -j 0 .venv/lib
	@python -c 'import matplotlib.font_manager'
	@touch $@

extras: $(extra_groups:%=.venv/.%) ## Install what the notebook, remotes and long tests need, too

.venv/.%: requirements-%.lock $(ready)
	@echo 'Installing $< into .venv'
	@$(pip_install) --quiet -r $<
	@touch $@

# With it an editor completes and checks params.yaml.
params.schema.json: pipeline/params.py $(ready)
	@python -c 'from pipeline.params import schema; print(schema())' > $@

demo: setup ## Run the four stages on a sample of MNIST, without a download
	dvc exp run --set-param dataset.name=mnist_sample
	@echo
	@python -m pipeline.summary
	@echo
	@echo 'Next:'
	@echo '  make restore repro          the same on all of MNIST, an 11 MB download'
	@echo '  source .venv/bin/activate   then change a number in params.yaml, and'
	@echo '  dvc repro                   runs what depends on it'
	@echo '  make page                   a page to draw digits on, which this model reads'

repro: setup ## Rerun the stages whose inputs changed: dvc repro
	@python -m pipeline.preflight
	dvc repro
	@echo
	@python -m pipeline.summary

train-workers: setup ## Train on workers of this machine: make train-workers N=4
	@python -m pipeline.preflight
	TRAIN_LAUNCHER='python -m pipeline.launch --workers '$(if $(value N),$(call value_of,N),2) dvc repro
	@echo
	@python -m pipeline.summary

restore: setup ## Go back to the committed parameters and results
	@! git rev-parse --quiet --verify MERGE_HEAD > /dev/null || { echo 'a merge is in progress: conclude it, or' \
	'abandon it with git merge --abort; make restore would drop the other side' >&2; exit 2; }
	git restore --source=HEAD --staged --worktree params.yaml dvc.lock metrics
	dvc checkout --quiet --allow-missing download preprocess train evaluate
	@dvc status --quiet || echo 'some of data/ and models/ is not as committed: make repro brings it back'

verify: setup ## Check that the committed results come out again
	python -m pipeline.verify

gate: setup ## Compare with an earlier commit: make gate BASELINE=REV
	python -m pipeline.gate $(call option,--baseline,BASELINE)

predict: setup ## Classify pictures or a table: make predict FILES=FOLDER
	@python -m pipeline.predict $(call option,--csv,CSV) $(call option,--header,HEADER) \
	$(call option,--json,JSON) $(call option,--show,SHOW) $(call option,--model,MODEL) \
	$(call option,--rev,REV) $(call option,--confidence,CONFIDENCE) $(if $(value SPLIT),--split) \
	-- $(call value_of,FILES)

page: setup ## Write page.html, to draw on: make page MODEL=FILE
	python -m pipeline.page $(call option,--model,MODEL)

export: setup ## Convert the model: make export FORMAT=litert QUANTIZE=int8
	python -m pipeline.export $(call option,--format,FORMAT) $(call option,--quantize,QUANTIZE) \
		$(call option,--model,MODEL)

report: setup ## Compare with pictures, report.html: make report BASELINE=REV
	python -m pipeline.report $(call option,--baseline,BASELINE)

card: setup ## Describe the model, MODEL_CARD.md: make card LICENSE=mit
	python -m pipeline.card $(call option,--license,LICENSE)

experiment: setup ## Run one by name: make experiment NAME=cnn-small SEED=3
	@python -m experiments.run $(call value_of,NAME) $(call option,--seed,SEED) $(way)

lesson: setup ## Run those of the lesson: make lesson SEEDS=5 JOBS=1
	@python -m experiments.lesson $(call option,--seeds,SEEDS) $(way)

notebook: .venv/.notebook docs/my-lesson.ipynb ## Open a copy of the lesson as a notebook, in a browser
	jupyter lab --log-level=WARN $(if $(filter 0,$(shell id -u)),--allow-root) \
		--ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/docs/my-lesson.ipynb

# git ignores it, so that no experiment takes what you change there along.
docs/my-lesson.ipynb:
	cp docs/lesson.ipynb $@

ladder: setup ## Measure sets over seeds: make ladder NAME=mlp-best SEEDS=5
	@python -m experiments.ladder --plain $(call option,--seeds,SEEDS) \
	$(call option,--validation,VALIDATION) $(way) -- $(call value_of,NAME)

seeds: setup ## Measure the committed parameters over seeds: make seeds SEEDS=5
	@python -m experiments.ladder default $(call option,--seeds,SEEDS) $(way)

sweep: setup ## Combine values: make sweep GRID='train.seed=0,1'
	@python -m experiments.sweep $(call option,--name,NAME) $(way) -- $(call value_of,GRID)

search: setup ## Search by validation: make search SPACE=... TRIALS=50
	@python -m experiments.search $(call option,--name,NAME) $(call option,--trials,TRIALS) \
	$(call option,--seed,SEED) $(way) -- $(call value_of,SPACE)

best: setup ## Name the best by validation: make best METRIC=val_loss
	@python -m experiments.best $(call option,--metric,METRIC)

compare: setup ## Show the experiments side by side
	@python -m experiments.compare

test: setup ## Run the test suite
	python -m pytest

check: setup ## Lint, check the format, the types and the workflows
	ruff check
	ruff format --check
	mypy
	zizmor --offline --quiet .github

bench: setup ## Measure against the plain way: make bench MNIST=FOLDER
	python -m benchmarks.bench $(call value_of,MNIST)
	python -m benchmarks.growth $(call value_of,MNIST)

clean: ## Remove .venv, so that make setup begins anew
	rm -rf .venv

lock: ## Renew the locks: the newest versions that fit together
	@set -e; tool=$$(mktemp -d); trap 'rm -rf "$$tool"' EXIT; \
	$(PYTHON) -m venv "$$tool"; "$$tool/bin/pip" install --quiet uv; \
	compile() { \
		"$$tool/bin/uv" pip compile pyproject.toml --universal --quiet --no-header --no-annotate \
			"$$@" > /dev/null; \
	}; \
	compile --group dev $(extra_groups:%=--group %) --upgrade --output-file "$$tool/all"; \
	compile --group dev --constraint "$$tool/all" --generate-hashes --output-file requirements.lock; \
	everywhere=$$(sed -n '/;/d; s/^\([^ =]*\)==.*/--no-emit-package \1/p' requirements.lock); \
	for group in $(extra_groups); do \
		compile --group $$group --constraint "$$tool/all" --generate-hashes $$everywhere \
			--output-file requirements-$$group.lock; \
	done
