# `make` lists the targets. Each one does all the set-up it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# DATA=/path runs the real configuration on a real data set, with the seeds of its study.yaml; ARGS= passes Lightning CLI overrides;
# SEEDS="0 1 2" trains other seeds; JOBS=2 makes so many runs at a time, SLURM=file.yaml makes them jobs of a cluster; OUT= is the folder of the study; RUN=
# the folder of a run. TORCH=cpu, TORCH=cu126, ... is the build of PyTorch; the environment keeps it until another one is asked for.
DATA ?=
ARGS ?=
SEEDS ?=
JOBS ?=
SLURM ?=
OUT ?=
RUN ?=
GPU_PYTHON ?=
INSTALLED_TORCH := $(shell cat $(STAMP) 2>/dev/null)
TORCH ?= $(INSTALLED_TORCH)
PRESETS ?= nuisance descriptors descriptors_density all_no_birads all_with_birads
ABNORMALITIES ?= mass calc
TEXTS ?= findings impression label_masked
RUNS = $(if $(OUT),--out $(OUT)) $(if $(SEEDS),--seeds $(SEEDS))
STUDY_FLAGS = $(RUNS) $(if $(JOBS),--jobs $(JOBS)) $(if $(SLURM),--slurm $(SLURM)) -- $(if $(DATA),--data.root=$(abspath $(DATA))) $(ARGS)

# warnings are errors, and nothing is left over from pages that are gone
SITE := OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -E -W --keep-going -q -b html

# what `make check-lock` resolves for; PyTorch has no build for Macs with Intel processors
PLATFORMS := x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-pc-windows-msvc aarch64-apple-darwin
PYTHONS := 3.11 3.12 3.13
# what `make check-lowest` runs on the oldest releases that pyproject.toml allows
QUICK_TESTS := tests/losses tests/metrics tests/attribution tests/data_modules/forms tests/study/test_report.py tests/test_cli.py

# some machines forbid Python to keep compiled modules, and every process then compiles again what has changed
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install train-cxr train-mammo report study-2x2 known-answers train-covid table-cbis text-openi controls-cxr controls-mammo dashboard review test check format lint types benchmark docs docs-quick gpu lock check-lock check-lowest clean

help:  ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

ifneq ($(TORCH),$(INSTALLED_TORCH))
.PHONY: $(STAMP)
REPLACED := --reinstall-package torch --reinstall-package torchvision
endif

# the lock pins the CUDA libraries of the usual build; another build brings its own
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"mmpkd needs Python 3.11, 3.12 or 3.13 but {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.13 ...")'
	@echo "Setting up $(VENV): up to 6 GB with PyTorch, once."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(if $(TORCH),grep -vE '^(cuda|nvidia)-|^triton=' requirements.lock,cat requirements.lock) | \
	  $(BIN)/uv pip install --compile-bytecode --python $(BIN)/python $(if $(TORCH),--torch-backend $(TORCH)) $(REPLACED) --requirements -
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --editable .
	@$(BIN)/python -m compileall -q mmpkd data_modules
	@echo "$(TORCH)" > $@

install: $(STAMP)  ## Create .venv with everything (TORCH=cpu, cu126, ...: another build of PyTorch)

train-cxr: $(STAMP)  ## Text teacher -> student on chest radiographs, five seeds, then the report (phantoms unless DATA=)
	$(BIN)/mmpkd study experiments/cxr/$(if $(DATA),mimic/)study.yaml $(STUDY_FLAGS)

train-mammo: $(STAMP)  ## Tabular teacher -> student on mammograms, five seeds, then the report (phantoms unless DATA=)
	$(BIN)/mmpkd study experiments/mammo/$(if $(DATA),cbis_ddsm/)study.yaml $(STUDY_FLAGS)

report:  ## Open the report of a study (OUT= its folder; the newest by default)
	@page="$(if $(OUT),$(OUT)/report/index.html,$(shell ls -t runs/*/report/index.html 2>/dev/null | head -n 1))"; \
	test -f "$$page" || { echo "Expected a report in runs/*/report but there is none: make train-cxr writes one; OUT= names another folder."; exit 1; }; \
	if test "$$(uname)" = Darwin; then open "$$page"; \
	elif test -n "$$DISPLAY$$WAYLAND_DISPLAY" && command -v xdg-open > /dev/null; then xdg-open "$$page"; \
	else echo "No browser can be opened here. The report: $$page"; fi

study-2x2: $(STAMP)  ## Domain (chest, breast) x form (text, table) of the privileged information, five seeds, on phantoms
	$(BIN)/mmpkd study experiments/2x2/study.yaml $(STUDY_FLAGS)

known-answers: $(STAMP)  ## Chest phantoms, five seeds: does the procedure tell useful targets from useless ones, and a method from itself?
	$(BIN)/mmpkd study experiments/cxr/known_answers.yaml $(STUDY_FLAGS)
	$(BIN)/python -m mmpkd.study.analysis.against_itself experiments/cxr/known_answers.yaml --arms baseline itself $(RUNS)

train-covid: $(STAMP)  ## The same on 306 public radiographs with clinical notes and lesion masks; needs DATA=
	$(if $(DATA),,$(error Expected DATA=/path/to/covid_cxr; docs/covid_cxr.md says how to make it))
	$(BIN)/mmpkd study experiments/covid_cxr/study.yaml $(STUDY_FLAGS)

table-cbis: $(STAMP)  ## Tabular teachers on the real CBIS-DDSM descriptions, each preset, no images; needs DATA=
	$(if $(DATA),,$(error Expected DATA=/path with the four CBIS-DDSM description CSVs))
	@for a in $(ABNORMALITIES); do for p in $(PRESETS); do \
	  config=experiments/mammo/table_$$a.yaml; out=$(or $(OUT),runs/cbis_table)/$$a-$$p; \
	  data="--data.root=$(abspath $(DATA)) --data.columns=$$p"; \
	  echo "Teacher of $$a, columns: $$p"; \
	  $(BIN)/mmpkd fit --config $$config --run.dir $$out $$data $(ARGS) \
	  && $(BIN)/mmpkd teacher-card $$config $$out/checkpoints/best.ckpt $$data --split test --json $$out/test_card.json $(filter --data.%,$(ARGS)) || exit 1; \
	done; done
	@$(BIN)/python -m mmpkd.teachers.card_table $(or $(OUT),runs/cbis_table)/*/test_card.json
	@echo "Cards: $(or $(OUT),runs/cbis_table)/*/test_card.json"

text-openi: $(STAMP)  ## Text teacher on the real reports of Open-i, no images; needs DATA=
	$(if $(DATA),,$(error Expected DATA=/path with NLMCXR_reports.tgz))
	@for text in $(TEXTS); do \
	  config=experiments/open_i/teacher.yaml; out=$(or $(OUT),runs/open_i)/$$text; \
	  data="--data.root=$(abspath $(DATA)) --data.text=$$text"; \
	  $(BIN)/mmpkd fit --config $$config --run.dir $$out $$data $(ARGS) \
	  && $(BIN)/mmpkd teacher-card $$config $$out/checkpoints/best.ckpt $$data --split test --json $$out/test_card.json $(filter --data.%,$(ARGS)) || exit 1; \
	done
	@$(BIN)/python -m mmpkd.teachers.card_table $(or $(OUT),runs/open_i)/*/test_card.json
	@echo "Cards: $(or $(OUT),runs/open_i)/*/test_card.json"

controls-cxr: $(STAMP)  ## Every control of a strict reviewer on chest phantoms, then the report
	$(BIN)/mmpkd study experiments/cxr/controls.yaml $(STUDY_FLAGS)

controls-mammo: $(STAMP)  ## Every control of a strict reviewer on breast phantoms, then the report
	$(BIN)/mmpkd study experiments/mammo/controls.yaml $(STUDY_FLAGS)

dashboard: $(STAMP)  ## Save the W&B workspace of the project, or say how to get it
	$(BIN)/python -m mmpkd.tracking.dashboard $(ARGS)

review: $(STAMP)  ## Look at a run on this machine in the terminal, without an account (RUN= a folder; the newest by default)
	@run="$(or $(RUN),$(shell ls -td runs/*/*/*/wandb 2>/dev/null | head -n 1 | xargs -r dirname))"; \
	test -d "$$run/wandb" || { echo "Expected a run with a wandb folder; train one, or give RUN=runs/cxr/distilled/seed0"; exit 1; }; \
	if test -t 1; then $(BIN)/wandb leet "$$run/wandb"; \
	else $(BIN)/wandb leet inspect --summary "$$(ls -td $$run/wandb/*run-* | head -n 1)"; fi

test: $(STAMP)  ## Run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --durations=15 $(ARGS)

check: lint types test docs-quick  ## Everything that continuous integration checks

lint: $(STAMP)  ## Check format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)  ## Check types
	$(BIN)/mypy

format: $(STAMP)  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP)  ## Build the documentation site with its tutorials, into docs/_build/html
	$(SITE) docs docs/_build/html
	@echo "The site: docs/_build/html/index.html"

docs-quick: $(STAMP)  ## Build the documentation site without running its tutorials, into docs/_build/quick
	$(SITE) -D plot_gallery=0 docs docs/_build/quick
	@echo "The site, without what tutorials print and draw: docs/_build/quick/index.html"

benchmark: $(STAMP)  ## Run the benchmarks (ratios against a named peer or limit)
	for name in attribution distillation loading batches decoders workers indexing inference processes startup; do OMP_NUM_THREADS=1 $(BIN)/python benchmarks/$$name.py || exit 1; done
	$(BIN)/python benchmarks/threads.py

# GPU_PYTHON needs torch >= 2.8, torchvision, lightning, timm, transformers, pandas, pyarrow, scipy, opencv, pytest and hypothesis;
# a test that needs more is skipped
gpu:  ## Tests and the benchmark that need a CUDA device, in 8 minutes; needs GPU_PYTHON= of an environment that has one
	$(if $(GPU_PYTHON),,$(error Expected GPU_PYTHON=/path/to/python of an environment in which PyTorch finds a CUDA device))
	MMPKD_TEST_DEVICE=cuda PYTHONPATH=. timeout 180 $(GPU_PYTHON) -m pytest -m gpu -p no:cacheprovider tests/gpu
	PYTHONPATH=. timeout 300 $(GPU_PYTHON) benchmarks/gpu.py --minutes 4

lock: $(STAMP)  ## Resolve requirements.lock again, with the newest releases
	$(BIN)/uv pip compile --quiet --upgrade --universal --custom-compile-command "make lock" --python-version 3.11 \
	  pyproject.toml --extra dev --extra benchmark --output-file requirements.lock

check-lock: $(STAMP)  ## Can requirements.lock be installed on Linux, Windows and macOS 14? Downloads no package
	@for platform in $(PLATFORMS); do for python in $(PYTHONS); do \
	  echo "$$platform, Python $$python"; \
	  MACOSX_DEPLOYMENT_TARGET=14.0 $(BIN)/uv pip install --quiet --dry-run --only-binary :all: --target $(VENV)/no-such-folder \
	    --python-platform $$platform --python-version $$python --requirements requirements.lock || exit 1; \
	done; done

check-lowest: $(STAMP)  ## Test the oldest releases that pyproject.toml allows, on Python 3.11; before a release
	$(BIN)/uv venv --quiet --clear --python 3.11 $(VENV)/lowest
	$(BIN)/uv pip install --python $(VENV)/lowest/bin/python --resolution lowest-direct --only-binary :all: --editable ".[dev]"
	OMP_NUM_THREADS=1 $(VENV)/lowest/bin/python -m pytest -p no:cacheprovider $(QUICK_TESTS)
	rm -rf $(VENV)/lowest

clean:  ## Remove the environment and caches; runs and data stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
