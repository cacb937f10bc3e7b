# Godwit's commands. CMake does the work (CMakePresets.json); this file is the front door.
# JOBS=n limits parallel compilation; the default is one a core.

JOBS ?= $(shell nproc)
CTEST = ctest --test-dir build --output-on-failure -j $(JOBS)
# Says that the packages were looked for, so that this is done once.
SETUP = build/.setup-done

.PHONY: build build-all test slow check demo bench format setup clean help

build:                     ## build the program: build/godwit
build-all:                 ## build the program and the tests
build: TARGET = godwit
build-all: TARGET = all
build build-all: $(SETUP)
	@cmake --preset release $(if $(wildcard build/CMakeCache.txt),> /dev/null,)
	@cmake --build build -j $(JOBS) --target $(TARGET)

test: build-all            ## the quick tests (about a minute once built)
	$(CTEST) -LE 'slow|ui'

slow: build-all            ## the long runs: 10,000 requests, 200 killed writers, ten minutes of load on the server
	$(CTEST) -j 1 -L slow

check: setup-check build-all   ## everything that CI runs: tests, sanitizers, fuzzing, directions, symbols, other processors
	scripts/check

demo: build                ## the demonstration model describes a picture, reads a sign, follows a clip, calls a tool
	scripts/demo

bench: build               ## prefill and decode speed of the demonstration model beside the machine's peaks
	build/godwit bench

format:                    ## clang-format over the C++ sources
	git ls-files '*.cpp' '*.h' | xargs clang-format -i

setup: $(SETUP)            ## install the Debian packages that are missing
$(SETUP): scripts/setup
	@scripts/setup
	@mkdir -p build && touch $@

.PHONY: setup-check
setup-check:               ## install what `make check` needs beyond that
	@scripts/setup --check

clean:                     ## delete everything that was built
	rm -rf build

help:                      ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
