# Two commands on a bare clone: `make demo` does the main job, `make test` runs the whole test suite.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The environment is made anew when what it depends on changes: an edited entry point would stay
# invisible until the next installation.
STAMP := $(VENV)/.stamp-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)

.PHONY: demo test slow lint wheel clean

$(STAMP):
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	rm -f $(VENV)/.stamp-*
	touch $@

demo: $(STAMP)
	$(BIN)/precond-gm train --recipe digits

test: $(STAMP)
	$(BIN)/pytest -n auto

slow: $(STAMP)  ## long statistics and whole studies
	$(BIN)/pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: $(STAMP)  ## build the wheel and check what is in it
	$(BIN)/pytest tests/repo -m slow -k wheel

clean:
	rm -rf $(VENV) dist build
