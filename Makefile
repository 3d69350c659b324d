# Everything runs in .venv, which each target sets up as far as it needs and then reuses.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
CPP := $(wildcard src/hinged/kernels/cpp/*.cpp src/hinged/kernels/cpp/*.hpp)

# Without a compiler the install succeeds and the reference serves. Where there is one, C++ that it
# refuses must stop make.
export HINGED_REQUIRE_NATIVE ?= $(if $(shell command -v "$${CXX:-c++}"),1,0)

.PHONY: demo test check lint format types docs record clean

demo: .venv/lab ## the main job on embedded data: a table, and runs/demo/report.html
	$(BIN)/hinged compare --out runs/demo

test: .venv/dev ## all tests
	$(BIN)/python -m pytest

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
	$(BIN)/hinged compare --out runs/record
	$(BIN)/python docs/record.py runs/record

clean:
	rm -rf .venv runs

.venv/pip: constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) --upgrade pip
	touch $@

.venv/lab: .venv/pip pyproject.toml CMakeLists.txt $(CPP)
	@echo "Setting up .venv (once; PyTorch is large) ..."
	$(PIP) --build-constraint constraints.txt --editable ".[lab]"
	touch $@

.venv/dev: .venv/lab
	$(PIP) --group dev
	touch $@
