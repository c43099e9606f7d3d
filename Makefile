# Postern. `make run` serves on 127.0.0.1:2525; `make check` tests; `make help` lists the rest.

prefix   ?= /usr/local
bindir   ?= $(prefix)/bin
mandir   ?= $(prefix)/share/man
unitdir  ?= $(prefix)/lib/systemd/system

CFLAGS   ?= -O2 -g
WARN     ?= -Wall -Wextra -Wstrict-prototypes -Wshadow -Wconversion -Wvla
HARDEN   ?= -fPIE $(STACK) -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
# Nor -fcf-protection: Debian's start files have no mark of it, so that no program has, whatever else is compiled with it.
LDHARDEN ?= -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack
STACK     = -fstack-protector-strong -fstack-clash-protection $(ZEROED)
SECTIONS  = -ffunction-sections -fdata-sections
# libowfat marks functions that write through a pointer as pure: without -Dpure= they are optimized away.
STD       = -std=c11 -D_POSIX_C_SOURCE=200809L -Dpure=

# Not every compiler has it. It is asked once, when first needed: on a bare machine `make` itself brings it.
ZEROED = $(eval ZEROED := $(shell $(CC) $(ZERO) -x c -S -o /dev/null /dev/null 2>/dev/null && echo $(ZERO)))$(ZEROED)
ZERO   = -ftrivial-auto-var-init=zero

# Where the libraries are; tinycdb's <cdb.h> must come before libowfat's, and its archive, too.
OWFAT_CFLAGS ?=
OWFAT_LIBS   ?= -l:libowfat.a
CDB_CFLAGS   ?= -isystem dep/tinycdb
CDB_LIBS     ?= dep/tinycdb/libcdb.a
CRYPT_LIBS   ?= -lcrypt
TLS_LIBS     ?= -lssl -lcrypto

# A program is its rooms, the first of which has its main, and its libraries where they are not the common ones.
PROGRAMS = postern-smtpd postern-cdb postern-dnsbl postern-checkpw postern-tls postern-tlsio
postern-smtpd   = smtpd review why serve verbs content envelope auth starttls door pace lists discreet foreign dnsbl dnslist session reply \
                  delivery spool maildir qqueue checkpassword child await sasl ucspitls trace transaction table place client \
                  config knob log wire body command address ip spelling about deadline
postern-cdb     = mkcdb cdbmake lines replace entry pwhash place address command ip about
postern-dnsbl   = dnsblq dnsbl dnslist replace log command ip about deadline
postern-checkpw = checkpw table place address log ip about deadline
postern-tls     = tls ucspitls await user log about deadline
postern-tlsio   = tlsio tlscheck tunnel await report tlsctx cert tlserr tlsconf log about deadline
# AddressSanitizer has a crypt_r of its own that calls the real one: without it -lcrypt would seem not to be needed.
postern-checkpw_LIBS = $(CDB_LIBS) $(OWFAT_LIBS) -Wl,--no-as-needed $(CRYPT_LIBS)
# Linked with OpenSSL and never with libowfat: the licences forbid that. Nor do the rooms that include <openssl/>
# get into the tests of other rooms, or into fuzzers.
postern-tlsio_LIBS = $(TLS_LIBS)
TLS_ROOMS = tlscheck tunnel report tlsctx cert tlserr
# musl has no OpenSSL, and its crypt(3) knows no yescrypt: these are never static, and build/static has the
# ordinary ones.
DYNAMIC = postern-checkpw postern-tlsio
ROOMS = $(sort $(foreach p,$(PROGRAMS),$($p)))
MAINS = $(foreach p,$(PROGRAMS),$(firstword $($p)))
TESTED = $(filter-out $(MAINS) $(TLS_ROOMS),$(ROOMS))

.PHONY: all help deps static check asan run cdb bench fuzz lint install uninstall setup clean distclean
all: $(PROGRAMS:%=build/%)

help:
	@sed -n 's/^#: //p' Makefile

#: make deps       what the build needs, from Debian's packages (the other targets see to theirs)
deps:
	@tools/deps build

# V=1 shows whole commands; -s nothing.
V ?= 0
SAY = $(if $(filter 0,$(V)),@$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,echo '  $(1)';))

define PROGRAM
$(1)/$(5): $($(5):%=$(1)/obj/%.o)
	$$(call SAY,ld $$@)$(2) $(3) -o $$@ $$^ $(or $($(5)_LIBS),$(4))

endef
# One set of rules for each way to compile: $(1) the folder, $(2) compiler and flags, $(3) link flags, $(4) libraries,
# $(5) programs, where not all
define BUILD
$(foreach p,$(or $(5),$(PROGRAMS)),$(call PROGRAM,$(1),$(2),$(3),$(4),$p))
$(1)/obj/%.o: %.c | dep/tinycdb
	@mkdir -p $$(@D)
	$$(call SAY,cc $$@)$(2) -MMD -MP -c -o $$@ $$<
-include $(ROOMS:%=$(1)/obj/%.d)
endef

LINK = -Wl,--gc-sections -Wl,--as-needed
COMPILE  = $(CC) $(STD) $(CFLAGS) $(WARN) $(HARDEN) $(SECTIONS) $(CPPFLAGS) $(CDB_CFLAGS) $(OWFAT_CFLAGS)
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
$(eval $(call BUILD,build,$$(COMPILE),$$(LDFLAGS) $$(LDHARDEN) $(LINK),$$(CDB_LIBS) $$(OWFAT_LIBS)))
$(eval $(call BUILD,build/asan,$$(COMPILE) -U_FORTIFY_SOURCE $$(SANITIZE),$$(LDFLAGS) -pie $(LINK),$$(CDB_LIBS) $$(OWFAT_LIBS)))

#: make static     the same programs linked with musl: build/static/postern-*
# Made for speed. Static PIE, at a place of its own in memory each time, would cost a session a tenth more, tcpserver's
# share not counted: it relocates 400 places, in three more pages. Constants share a segment with the code: two mappings
# less save a fiftieth. musl has no _FORTIFY_SOURCE.
MUSLCC ?= musl-gcc
static: $(PROGRAMS:%=build/static/%)
$(eval $(call BUILD,build/static,$(MUSLCC) $$(STD) $$(CFLAGS) $$(WARN) $$(STACK) $$(SECTIONS) \
  -isystem dep/musl/include/tinycdb -isystem dep/musl/include/libowfat,-static -no-pie $(LINK) \
  -Wl$$(comma)-z$$(comma)noexecstack$$(comma)-z$$(comma)noseparate-code,dep/musl/libcdb.a dep/musl/libowfat.a,$(filter-out $(DYNAMIC),$(PROGRAMS))))
$(DYNAMIC:%=build/static/%): build/static/%: build/%
	@mkdir -p $(@D)
	$(call SAY,cp $@)cp -f $< $@
comma = ,

dep/tinycdb:
	@tools/deps build
dep/musl:
	@tools/deps static
$(ROOMS:%=build/static/obj/%.o): | dep/musl

# Unit tests link the rooms themselves: all but those that have a main.
UNITS = $(patsubst tests/%.c,%,$(wildcard tests/test_*.c))
define TESTS
$(1)/tests/%: tests/%.c $(patsubst %,$(1)/obj/%.o,$(TESTED))
	@mkdir -p $$(@D)
	$$(call SAY,cc $$@)$(2) -MMD -MP -MF $$@.d -I. -o $$@ $$(filter %.c %.o,$$^) -Wl,--gc-sections $(3) -lcheck_pic -lsubunit -lrt -lm -pthread
-include $(UNITS:%=$(1)/tests/%.d)
endef
$(eval $(call TESTS,build,$$(COMPILE) -pie,$$(CDB_LIBS) $$(OWFAT_LIBS)))
$(eval $(call TESTS,build/asan,$$(COMPILE) $$(SANITIZE),$$(CDB_LIBS) $$(OWFAT_LIBS)))

#: make check      all tests; ONLY="name ..." for some of them
check: deps-check all $(UNITS:%=build/tests/%)
	tests/run build $(ONLY)

#: make asan       all tests again with AddressSanitizer and UBSan in every program
asan: deps-check $(PROGRAMS:%=build/asan/%) $(UNITS:%=build/asan/tests/%)
	tests/run build/asan $(ONLY)

#: make run        serves on 127.0.0.1, takes all mail; PORT=2525, TABLES=1, TLS=1, AUTH=1, knobs of postern-smtpd(8)
PORT ?= 2525
run: deps-run all cdb
	@tools/serve '$(PORT)'

#: make cdb        compiles the tables cdb/domains, cdb/mailboxes and cdb/badsenders
KINDS = domains mailboxes badsenders
cdb: $(KINDS:%=cdb/%.cdb)
cdb/%.cdb: cdb/% build/postern-cdb
	build/postern-cdb $* $< $@

#: make bench      measures speed against its limits; BENCH="--quick", BENCH="session body"
bench: deps-bench all static bench-programs
	bench/run $(BENCH)
include bench/bench.mk

#: make fuzz       every fuzzer for FUZZ_SECONDS=60
-include fuzz/fuzz.mk

#: make lint       static analysis, formatting, manuals, scripts, units
lint: deps-lint
	tools/lint

#: make install    programs, manuals, units; only below $(DESTDIR)
install: all
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(mandir)/man5 $(DESTDIR)$(mandir)/man8 $(DESTDIR)$(unitdir)
	install -m 755 $(PROGRAMS:%=build/%) $(DESTDIR)$(bindir)
	install -m 644 $(wildcard man/*.5) $(DESTDIR)$(mandir)/man5
	install -m 644 $(wildcard man/*.8) $(DESTDIR)$(mandir)/man8
	for unit in $(UNITFILES); do \
	    sed 's|/usr/local/bin|$(bindir)|g' systemd/$$unit > $(DESTDIR)$(unitdir)/$$unit || exit; done
UNITFILES = $(notdir $(wildcard systemd/postern*))
uninstall:
	rm -f $(PROGRAMS:%=$(DESTDIR)$(bindir)/%) $(UNITFILES:%=$(DESTDIR)$(unitdir)/%) \
	    $(patsubst man/%.5,$(DESTDIR)$(mandir)/man5/%.5,$(wildcard man/*.5)) \
	    $(patsubst man/%.8,$(DESTDIR)$(mandir)/man8/%.8,$(wildcard man/*.8))

#: make setup      users, spool and /etc/postern, where they are not there yet
setup: all
	DESTDIR=$(DESTDIR) BINDIR=$(bindir) tools/setup build/postern-cdb

deps-%:
	@tools/deps $*

clean:
	rm -rf build
distclean: clean
	rm -rf dep var cdb/*.cdb
