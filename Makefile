.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
SIDE_BY_SIDE := --numprocesses auto --maxprocesses 4 --dist worksteal
AVX2_ALONE := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2

.PHONY: help setup demo pretrain-demo check test test-lowest test-isa lint format types contracts house unit isa doctest docs \
	test-distributed slow torture torture-files torture-inputs bench bench-peers bench-embeddings tables audit clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/installed ## Make .venv with CPU torch, the demo's data and the development tools

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[demo,dev]"
	@touch $@

demo: setup ## The main job on a part of real data: teacher, student, baseline, report in ./demo
	$(BIN)/codir demo --output-dir demo --overwrite

pretrain-demo: setup ## The stage before it: a student pre-trained on IMDB, then fine-tuned, in ./pretrain-demo
	$(BIN)/codir demo --stage pretrain --output-dir pretrain-demo --overwrite

check: setup lint types contracts house ## The quick part of `make test`
	$(BIN)/python -m pytest --quiet $(SIDE_BY_SIDE) -m "not slow and not training and not distributed"

test: setup lint types contracts house unit isa doctest docs ## Everything that CI runs

test-lowest: .venv-lowest/installed ## The quick tests and one training at the lowest versions of all dependencies
	.venv-lowest/bin/python -m pytest --quiet $(SIDE_BY_SIDE) -m "not slow and not training and not distributed"
	.venv-lowest/bin/python -m pytest --quiet tests/cli/test_cli.py::test_an_interrupted_run_that_cannot_go_on

.venv-lowest/installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --constraint constraints-lowest.txt --editable ".[demo,openvino,test]"
	@touch $@

lint: setup ## Format and lint, without changing files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: setup ## Format and lint, changing files
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: setup ## mypy, strict
	$(BIN)/mypy

contracts: setup ## Rooms import one way
	$(BIN)/lint-imports

house: setup ## The package's shape: names at the top, import cycles, long files, options said twice
	$(BIN)/python scripts/house.py

unit: setup ## Tests, with shapes checked
	$(BIN)/python -m pytest --quiet $(SIDE_BY_SIDE) -m "not slow and not distributed"

isa: setup ## Tests that rounding can break, as on a processor with AVX2 alone
	OMP_NUM_THREADS=1 $(AVX2_ALONE) $(BIN)/python -m pytest --quiet tests/models tests/speed tests/trainer/test_recorded.py \
		tests/objectives/test_laws.py tests/objectives/test_estimators.py \
		"tests/trainer/test_recurrent_student.py::test_a_recurrent_student_that_learns_nothing[kd-bf16]"

doctest: setup ## Examples in docstrings
	$(BIN)/python -m pytest --quiet --doctest-modules --ignore-glob='*/export/scripts/[a-z]*.py' src

docs: setup ## Build the documentation, strictly
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

test-isa: setup ## All tests as on other x86-64 processors, one kind after the other
	for limit in ATEN_CPU_CAPABILITY=default ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 "$(AVX2_ALONE)"; do \
		echo "== $$limit"; \
		env $$limit $(BIN)/python -m pytest --quiet $(SIDE_BY_SIDE) -m "not slow and not distributed" || exit 1; \
	done

test-distributed: setup ## Two processes on the command line, against one; a killed process; `accelerate launch`
	$(BIN)/python -m pytest --quiet -m "distributed or training" tests/distributed

slow: setup ## Trainings of minutes
	$(BIN)/python -m pytest --quiet -m slow

KILLS ?= 100
torture: setup ## Kill real runs at random moments and resume them, KILLS times; every end must be the same, bit for bit
	$(BIN)/python scripts/torture.py --kills $(KILLS)

PART ?= 1
torture-files: setup ## Damage every file that codir reads back in seven ways; PART=0.1 for a tenth
	OMP_NUM_THREADS=1 $(BIN)/python scripts/torture_files.py --part $(PART)

torture-inputs: setup ## Every bad input: one message and exit code 2 for each
	$(BIN)/python -m pytest --quiet -m slow tests/cli/test_bad_inputs.py

bench: setup ## Time every claim but those against other libraries, and write docs/performance.md
	for claim in step contrast arithmetic teacher_cache startup scaling page; do \
		$(BIN)/python benchmarks/$$claim.py || exit 1; \
	done

bench-peers: setup .venv-textbrewer/installed .venv-torchdistill/installed ## Time whole trainings against other libraries
	$(BIN)/python benchmarks/end_to_end.py
	$(BIN)/python benchmarks/page.py

bench-embeddings: setup .venv-sentence-transformers/installed ## Train sentence encoders by each objective
	$(BIN)/python benchmarks/embeddings.py 2x128
	$(BIN)/python benchmarks/tables.py

tables: setup ## Write the tables of all comparisons, and the map of them, from their results
	$(BIN)/python benchmarks/tables.py
	$(BIN)/python benchmarks/map.py

.venv-%/installed: benchmarks/peers/%.txt constraints.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --constraint constraints.txt --requirement $<
	@touch $@

audit: setup ## Known weaknesses of the installed packages; installs pip-audit into .venv and needs a network
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/python -m pip_audit --skip-editable

clean: ## Remove what make made
	rm -rf .venv .venv-* site demo pretrain-demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
