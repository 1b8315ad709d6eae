# proxyd: make, make demo, make test; `make help` lists the rest.
MAKEFLAGS += --no-builtin-rules
ifeq ($(origin CC),default)
CC     := gcc
endif
BUILD  ?= build$(if $(SAN),-san)
PREFIX ?= /usr
JOBS   ?= $(shell nproc)

VERSION := 0.1.0
PKGS    := libevent_core libevent_extra yaml-0.1 libssl libcrypto libcares libxxhash libcap-ng libbsd-overlay libcjson
CTL_PKGS := libcjson ncurses

# On a fresh machine none of this is there yet: no noise from here, `libraries` below says what helps.
PKGS_FOUND := $(shell pkg-config --exists $(PKGS) $(CTL_PKGS) 2>/dev/null && echo yes)
SYSTEMD    := $(shell pkg-config --exists libsystemd 2>/dev/null && echo libsystemd)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) $(SYSTEMD) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) $(SYSTEMD) 2>/dev/null)

comma := ,
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wcast-qual \
	-Wwrite-strings -Wformat=2 -Wundef -Wvla -Wimplicit-fallthrough -Werror
HARD := -fstack-protector-strong -fPIE $(if $(SAN)$(FUZZ),,-D_FORTIFY_SOURCE=2)
SANFLAGS := $(if $(SAN)$(FUZZ),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer) \
	$(if $(FUZZ),-fsanitize=fuzzer-no-link)
CPPFLAGS += -D_GNU_SOURCE -I. -DPROXYD_VERSION='"$(VERSION)"' $(if $(SYSTEMD),-DHAVE_SYSTEMD)
CFLAGS   ?= -O2 -g
ALL_CFLAGS  = -std=gnu11 $(WARN) $(HARD) $(SANFLAGS) $(CFLAGS) -MMD -MP $(PKG_CFLAGS)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now $(SANFLAGS) $(LDFLAGS)
LIBS        = $(PKG_LIBS) -lm

PROGRAMS := $(BUILD)/proxyd $(BUILD)/proxyctl
LIB_SRC  := $(wildcard common/*.c conf/*.c worker/*.c worker/*/*.c) \
	$(filter-out master/main.c master/proxyctl/%,$(wildcard master/*.c master/*/*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
# proxyctl has few of the daemon's objects, and libraries of its own.
CTL_OBJ  := $(patsubst %.c,$(BUILD)/%.o,$(filter-out %/main.c,$(wildcard master/proxyctl/*.c)))
CTL_LIBS := $(shell pkg-config --libs $(CTL_PKGS) 2>/dev/null)
UNIT_SRC := $(wildcard tests/unit/*_test.c)
UNIT_BIN := $(UNIT_SRC:%.c=$(BUILD)/%)

# Each is a libFuzzer target. Built by clang, in a directory of their own.
FUZZ_BIN := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/*_fuzz.c))
SECONDS  ?= 10

# The suites' own programs: HELPERS have a main, PRELOADED go into proxyd, the rest is shared by the HELPERS.
HELPERS    := origin client streams reaper free-port
PRELOADED  := malloc_count pidfd spin
HELPER_BIN := $(HELPERS:%=$(BUILD)/tests/helpers/%) $(PRELOADED:%=$(BUILD)/tests/helpers/%.so)
HELPER_LIB := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(HELPERS:%=tests/helpers/%.c) \
	$(PRELOADED:%=tests/helpers/%.c),$(wildcard tests/helpers/*.c)))

# The bench's own: load asks, origin answers, bare is the least that is between them.
BENCH_BIN := $(BUILD)/tests/bench/load $(BUILD)/tests/bench/origin $(BUILD)/tests/bench/bare
BENCH_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/bench/*.c))

.DEFAULT_GOAL := all
all: $(PROGRAMS) ## build build/proxyd and build/proxyctl

demo: ## install what building needs, build, run the demonstration
	@packaging/install-deps build
	@$(SUBMAKE) all
	@exec $(BUILD)/proxyd --demo

test: ## install what the suites need, build, run them (TESTS="unit relay" for some, SAN=1 with sanitizers)
	@packaging/install-deps test
	@$(SUBMAKE) tests
	@BUILD=$(BUILD) tests/run $(TESTS)

storm: ## the promise in full: hundreds of reloads and deaths under 5,000 live relays (about an hour)
	@packaging/install-deps test
	@$(SUBMAKE) tests
	@rm -f $(BUILD)/storm.figures
	@BUILD=$(BUILD) TEST_SECONDS=3600 RUN_SECONDS=14400 PAUSE_SLACK=1 FIGURES=$(BUILD)/storm.figures tests/run storm
	@cat $(BUILD)/storm.figures

tests: $(PROGRAMS) $(UNIT_BIN) $(HELPER_BIN) $(BENCH_BIN) $(BUILD)/other/proxyd ## build all that `make test` runs

unit: $(UNIT_BIN) ## build and run the unit tests
	@BUILD=$(BUILD) tests/run unit

fuzz: ## build the fuzz targets and run each of them for SECONDS=10
	@packaging/install-deps fuzz
	@$(SUBMAKE) fuzz-targets CC=clang FUZZ=1 BUILD=$(BUILD)-fuzz
	@BUILD=$(BUILD)-fuzz SECONDS_EACH=$(SECONDS) tests/fuzz/run

fuzz-targets: $(FUZZ_BIN)

bench: ## measure proxyd beside HAProxy and nginx (QUICK=1: three minutes; LOADS="idle" for some)
	@packaging/install-deps bench
	@$(SUBMAKE) all bench-programs
	@BUILD=$(BUILD) QUICK=$(QUICK) KEEP=$(KEEP) tests/bench/run $(LOADS)

bench-programs: $(BENCH_BIN) $(BUILD)/tests/helpers/free-port

model: ## check the protocol between the processes with Spin (tests/model; wants the package spin)
	@BUILD=$(BUILD) tests/model/run

lint: ## format, clang-tidy, cppcheck, shellcheck, walls
	@packaging/install-deps lint
	@tests/lint

walls: ## who may include whom, and what may lie at the top
	@tests/walls

clean: ## remove what was built
	rm -rf build build-san build-fuzz

help: ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile | expand -t 10

# make again, for what install-deps may have changed; side by side unless the caller said how.
SUBMAKE = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))

# A word for each command and what it makes; V=1 shows the commands.
Q   := $(if $(V),,@)
say  = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@echo '  $(1) $@')

define compile
@mkdir -p $(@D)
$(call say,CC)
$(Q)$(CC) $(CPPFLAGS) $(if $(1),$(1),$(ALL_CFLAGS) -c) -o $@ $<
endef

define link
$(call say,LD)
$(Q)$(CC) $(ALL_LDFLAGS) $(1) -o $@ $^ $(LIBS)
endef

libraries:
ifneq ($(PKGS_FOUND),yes)
	@echo "make: pkg-config or a library is missing: run packaging/install-deps" >&2; false
endif

$(BUILD)/proxyd: $(BUILD)/master/main.o $(LIB_OBJ)
$(BUILD)/proxyctl: $(BUILD)/master/proxyctl/main.o $(CTL_OBJ) $(BUILD)/master/control/rundir.o \
	$(BUILD)/common/clock.o $(BUILD)/common/must.o
$(BUILD)/proxyctl: LIBS = $(CTL_LIBS)
$(PROGRAMS):
	$(link)

$(BUILD)/%.o: %.c | libraries
	$(compile)

# The dashboard is built in.
$(BUILD)/worker/admin/page.o $(BUILD)/other/worker/admin/page.o: $(wildcard worker/admin/dashboard.*)

# The same daemon with another version of what it leaves to a next one.
OTHER_SRC := $(shell grep -lE 'SHM_VERSION|TAKEOVER_VERSION' $(LIB_SRC))
OTHER_OBJ := $(OTHER_SRC:%.c=$(BUILD)/other/%.o)
$(OTHER_OBJ): CPPFLAGS += -DSHM_VERSION=65535
$(OTHER_OBJ): $(BUILD)/other/%.o: %.c | libraries
	$(compile)
$(BUILD)/other/proxyd: $(BUILD)/master/main.o $(filter-out $(OTHER_SRC:%.c=$(BUILD)/%.o),$(LIB_OBJ)) $(OTHER_OBJ)
	$(link)

$(BUILD)/tests/unit/top_test: $(CTL_OBJ)
$(BUILD)/tests/unit/top_test: LIBS += $(CTL_LIBS)
$(UNIT_BIN): LIBS += -lcmocka
$(UNIT_BIN): %_test: %_test.o $(LIB_OBJ)
	$(link)

$(FUZZ_BIN): %_fuzz: %_fuzz.o $(LIB_OBJ)
	$(call link,-fsanitize=fuzzer)

$(HELPERS:%=$(BUILD)/tests/helpers/%): %: %.o $(HELPER_LIB)
	$(call link,-pthread)

$(BUILD)/tests/bench/load: $(filter-out %/origin.o %/bare.o,$(BENCH_OBJ))
$(BUILD)/tests/bench/origin: $(BUILD)/tests/bench/origin.o $(BUILD)/tests/bench/bench.o
$(BUILD)/tests/bench/bare: $(BUILD)/tests/bench/bare.o $(BUILD)/tests/bench/bench.o
$(BENCH_BIN):
	$(link)

# Loaded into a proxyd that has no sanitizer of its own, so never built with one.
$(PRELOADED:%=$(BUILD)/tests/helpers/%.so): $(BUILD)/%.so: %.c | libraries
	$(call compile,-std=gnu11 $(WARN) $(CFLAGS) -fPIC -shared)

-include $(shell test -d $(BUILD) && find $(BUILD) -name '*.d')
.PHONY: all demo test storm tests unit fuzz fuzz-targets bench bench-programs model lint walls clean help libraries
