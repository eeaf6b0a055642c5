# Each target does all of its own set-up on a machine that has Rust, Python 3 with venv, and make.
.DELETE_ON_ERROR:
.PHONY: help build test soak demo check fmt clippy doc deny venv requirements clean

PYTHON ?= python3
CARGO ?= cargo
VENV := target/venv
TIMES := target/test-times

help: ## Say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | column -t -s "$$(printf '\t')"

build: ## Build the program
	$(CARGO) build --locked --release

test: venv ## Run every test
	@rm -f $(TIMES)
	@mkdir -p target
	UNDERPIN_TEST_TIMES=$(CURDIR)/$(TIMES) $(CARGO) test --locked
	@echo "All tests passed. The slowest, in seconds:"
	@sort -rn $(TIMES) | head -n 10

soak: venv ## Try every fault at every call, and races for many rounds
	UNDERPIN_TEST_SOAK=1 $(CARGO) test --locked --test it -- faults:: races::

demo: venv ## Show what underpin does, against an emulator of AWS
	@$(CARGO) build --locked --quiet --bin underpin --example demo
	@$(CARGO) run --locked --quiet --example demo

check: fmt clippy doc ## Look at everything that needs no test

fmt: ## See that the code is formatted
	$(CARGO) fmt --check

clippy: ## Look for mistakes
	$(CARGO) clippy --locked --all-targets -- -D warnings

doc: ## See that the documentation builds
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

deny: ## Look at licences, advisories and doubles among the dependencies
	$(CARGO) deny check

venv: $(VENV)/stamp ## Make the virtual environment of the emulator

# Made anew when the requirements change, and only then.
$(VENV)/stamp: tests/requirements.txt
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	touch $@

requirements: ## Pin the emulator anew; needs uv
	cd tests && uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate requirements.in -o requirements.txt

clean: ## Remove what was built
	$(CARGO) clean
