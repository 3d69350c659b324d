# Everything runs in .venv, which each target sets up as far as it needs and then reuses.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
CPP := $(wildcard src/hinged/kernels/cpp/*.cpp src/hinged/kernels/cpp/*.hpp)

# Without a compiler the install succeeds and the reference serves. Where there is one, C++ that it
# refuses must stop make.
export HINGED_REQUIRE_NATIVE ?= $(if $(shell command -v "$${CXX:-c++}"),1,0)

# The peers have an environment of their own: some ask for versions of torch long gone.
PEERS := .venv-peers/bin
# Kernels that are compared with each other beside being compared with ReLU.
KERNELS ?= auto,reference
RECORDS := benchmarks/records

.PHONY: demo test test-fast check lint format types docs record studies-smoke studies-page bench bench-peers bench-page clean

DEMO = --lr 0.012 # where ReLU does best on the digits: docs/design/demo.md

demo: .venv/lab ## the main job on embedded data: a table, and runs/demo/report.html
	$(BIN)/hinged compare $(DEMO) --out runs/demo

# One process per core with one thread each: threads that wait for each other's cores are slower.
# A file stays in one process, which builds its fixtures once; tests/conftest.py orders the files.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test: .venv/dev ## all tests
	$(PYTEST)

test-fast: .venv/dev ## the quick tests, with few random examples: for the inner loop
	HYPOTHESIS_PROFILE=fast $(PYTEST) -m "not slow"

check: lint types test docs ## all that a change must pass

lint: .venv/dev ## format and lint, without changing anything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $(CPP)

format: .venv/dev ## format, and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(CPP)

types: .venv/dev ## static types
	$(BIN)/mypy

docs: .venv/dev ## the documentation, every warning an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir .venv/site

record: .venv/lab ## run the demo anew and make it the committed record that README and docs show
	rm -rf runs/record
	$(BIN)/hinged compare $(DEMO) --out runs/record
	$(BIN)/python docs/record.py runs/record

studies-smoke: .venv/dev ## the smallest scale of every study, about 3 minutes
	$(BIN)/python -m pytest tests/lab/study/test_shipped.py

studies-page: .venv/lab ## write docs/studies anew from the studies and their records
	$(BIN)/python docs/studies.py

bench: .venv/vision ## what the curves cost here: measure everything but peers, about 8 minutes
	$(BIN)/hinged bench kernels --kernels $(KERNELS) --out $(RECORDS)/kernels.json
	MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4294967296 $(BIN)/hinged bench kernels \
		--out $(RECORDS)/kernels-pages-kept.json
	$(BIN)/hinged bench models --out $(RECORDS)/models.json
	$(BIN)/hinged bench compiled --out $(RECORDS)/compiled.json
	$(BIN)/hinged bench growth --out $(RECORDS)/growth.json
	$(BIN)/python docs/benchmarks.py

bench-peers: .venv-peers/done ## the same beside other packages, in an environment of their own
	$(PEERS)/hinged bench kernels --peers benchmarks/peers.py --case "peers, K=13" \
		--case "peers, K=9" --case "peers, features, K=13" --out $(RECORDS)/peers.json
	$(PEERS)/python docs/benchmarks.py

bench-page: .venv/lab ## write docs/benchmarks.md anew from the records
	$(BIN)/python docs/benchmarks.py

clean:
	rm -rf .venv .venv-peers runs

.venv/pip: constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) --upgrade pip
	touch $@

.venv/lab: .venv/pip pyproject.toml CMakeLists.txt $(CPP)
	@echo "Setting up .venv (once; PyTorch is large) ..."
	$(PIP) --build-constraint constraints.txt --editable ".[lab]"
	touch $@

.venv/vision: .venv/lab
	$(PIP) --editable ".[lab,vision]"
	touch $@

.venv-peers/done: constraints.txt benchmarks/peers.txt pyproject.toml
	$(PYTHON) -m venv .venv-peers
	$(PEERS)/python -m pip install --quiet --constraint constraints.txt --editable ".[lab]"
	$(PEERS)/python -m pip install --quiet --no-deps --requirement benchmarks/peers.txt
	touch $@

.venv/dev: .venv/lab
	$(PIP) --group dev
	touch $@
