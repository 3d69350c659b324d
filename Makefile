# All commands run in the virtual environment .venv. Each target first installs what it needs there.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
CPP := $(wildcard src/hinged/kernels/cpp/*.cpp src/hinged/kernels/cpp/*.hpp)

# Without a C++ compiler, the installation succeeds and the reference kernel is used. If there is a
# compiler but the C++ code does not compile, make stops.
export HINGED_REQUIRE_NATIVE ?= $(if $(shell command -v "$${CXX:-c++}"),1,0)

# The other packages of the benchmarks are installed in a separate environment, because some of them
# require old versions of torch.
PEERS := .venv-peers/bin
# The kernels that `make bench` compares with each other.
KERNELS ?= auto,reference
RECORDS := benchmarks/records

.PHONY: demo test test-fast check lint format types sanitize docs record studies-smoke studies-page commands-page curve-training bench bench-peers bench-page clean

DEMO = --lr 0.012 # the rate with the best mean score over all activations: docs/demo.md

demo: .venv/lab ## compare activations on small images of digits: a table, and runs/demo/report.html
	$(BIN)/hinged compare $(DEMO) --out runs/demo

# The tests run in one process per core, and each process has one thread. More threads than cores
# would be slower. All tests of a file run in the same process, so that its fixtures are built once.
# tests/conftest.py chooses the order of the files.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test: .venv/dev ## all tests
	$(PYTEST)

test-fast: .venv/dev ## all tests that are not slow, with fewer random examples
	HINGED_EXAMPLES=10 $(PYTEST) -m "not slow"

check: lint types test docs sanitize ## all checks that a change must pass

lint: .venv/dev ## check format and lint, without changing files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $(CPP)

format: .venv/dev ## format all files, and correct lint errors automatically
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i $(CPP)

types: .venv/dev ## check static types
	$(BIN)/mypy

# The library is compiled again, with checks of every access to memory. They need the libraries of
# GCC or Clang, and Linux. CALLS is the number of random calls.
CALLS ?= 20000
ASAN = $(shell $${CXX:-c++} -print-file-name=libasan.so)
# The sanitizer finds the functions that throw exceptions only in a library that is loaded with it.
CXX_LIBRARY = $(shell $${CXX:-c++} -print-file-name=libstdc++.so.6)

sanitize: .venv/dev ## make random calls of the kernels that report every wrong access to memory
ifeq ($(wildcard $(ASAN)),)
	@echo "make sanitize: skipped, because this C++ compiler has no libasan.so"
else
	rm -rf .venv/sanitized
	$(PIP) --build-constraint constraints.txt --no-deps --target .venv/sanitized \
		--config-settings cmake.define.HINGED_SANITIZE=ON .
	LD_PRELOAD="$(ASAN) $(CXX_LIBRARY)" ASAN_OPTIONS=detect_leaks=0 OMP_NUM_THREADS=1 $(BIN)/python \
		-m tests.kernels.random_calls .venv/sanitized/hinged/kernels/hinged_cpu.so $(CALLS)
endif

# With --quiet, --strict would count no warnings.
docs: .venv/dev ## build the documentation; every warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir .venv/site

record: .venv/lab ## run the demo again and write its results into docs/demo, docs/demo.md and README.md
	rm -rf runs/record
	$(BIN)/hinged compare $(DEMO) --out runs/record
	$(BIN)/python docs/record.py runs/record

studies-smoke: .venv/dev ## run every study at its smallest scale, about 3 minutes
	$(BIN)/python -m pytest tests/lab/study/test_shipped.py

studies-page: .venv/lab ## write docs/studies from the studies and their records
	$(BIN)/python docs/studies.py

commands-page: .venv/lab ## run the commands of docs/commands.md, and write their outputs into it
	$(BIN)/python docs/commands.py

curve-training: .venv/lab ## draw the picture of docs/curve-training.md
	$(BIN)/python docs/curve_training.py

bench: .venv/vision ## run the benchmarks of `hinged bench`, about 8 minutes
	$(BIN)/hinged bench kernels --kernels $(KERNELS) --out $(RECORDS)/kernels.json
	MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=4294967296 $(BIN)/hinged bench kernels \
		--out $(RECORDS)/kernels-pages-kept.json
	$(BIN)/hinged bench models --out $(RECORDS)/models.json
	$(BIN)/hinged bench compiled --out $(RECORDS)/compiled.json
	$(BIN)/hinged bench growth --out $(RECORDS)/growth.json
	$(BIN)/python docs/benchmarks.py

bench-peers: .venv-peers/done ## run the benchmark of other packages
	$(PEERS)/hinged bench kernels --peers benchmarks/peers.py --case "peers, K=13" \
		--case "peers, K=9" --case "peers, features, K=13" --out $(RECORDS)/peers.json
	$(PEERS)/python docs/benchmarks.py

bench-page: .venv/lab ## write docs/benchmarks.md from the records
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
