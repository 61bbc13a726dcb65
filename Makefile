# Two commands on a fresh machine: `make book` and `make test`. Both make .venv themselves.
.PHONY: help book test lab lint pairs clean browser

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin

# notebooks run in their own folder, where a relative path would not be found; one may have spaces
ifneq ($(FASHIONLIB_DATA),)
ifeq ($(filter /%,$(firstword $(FASHIONLIB_DATA))),)
override FASHIONLIB_DATA := $(CURDIR)/$(FASHIONLIB_DATA)
endif
export FASHIONLIB_DATA
endif
export PYTHONUNBUFFERED := 1
# torch's threads wait by counting; beside other work they should soon let go of the core instead
export GOMP_SPINCOUNT ?= 1000

help:
	@echo "make book   build the whole book, executed, into book/_build/html"
	@echo "make test   run every test: the library, the notebooks (nbval), the built book"
	@echo "make test ONLY=search   run what has that word in its file's name: a module, a chapter (04)"
	@echo "make lab    open the chapters in JupyterLab"
	@echo "make lint   ruff, and the check that every .ipynb equals its .py"
	@echo "make pairs  regenerate the .ipynb files after editing a .py"

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv was found: install one, or run make PYTHON=/path/to/python."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[notebooks,export,stores,exercises,book,test]'
	@touch $@

book: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -b html book book/_build/html
	@echo "open book/_build/html/index.html"

# ONLY=search, or ONLY=04: what has that in its file's name
test: $(READY) $(if $(ONLY),,lint browser)
	$(BIN)/python tools/book/run_tests.py $(ONLY)

browser: $(READY)
	$(BIN)/python tools/book/browser.py

lab: $(READY)
	$(BIN)/jupyter lab notebooks

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/book/exercises.py --check
	$(BIN)/python tools/book/pair.py --check

pairs: $(READY)
	$(BIN)/python tools/book/exercises.py
	$(BIN)/python tools/book/pair.py --execute

clean:
	rm -rf book/_build book/chapters .book_cache
