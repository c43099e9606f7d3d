# Postern. `make run` serves on 127.0.0.1:2525; `make check` tests; `make help` lists the rest.

prefix   ?= /usr/local
bindir   ?= $(prefix)/bin
mandir   ?= $(prefix)/share/man
unitdir  ?= $(prefix)/lib/systemd/system

# The house: a .c beside this file is a program; all else is a room in a folder, and a folder includes only folders
# of the floors below it. `make rooms` shows them.
FLOORS   = base log+mail+dns net+table+store smtp+tls
FOLDERS  = $(subst +, ,$(FLOORS))
ROOMS    = $(wildcard $(FOLDERS:%=%/*.c))
MAINS    = $(wildcard *.c)
PROGRAMS = $(MAINS:%.c=postern-%)

.PHONY: all help rooms deps static check asan run cdb bench fuzz lint install uninstall setup clean distclean
all: programs

help:
	@sed -n 's/^#: //p' Makefile

#: make deps       installs the build's needs from Debian's packages (the other targets see to theirs)
deps:
	@tools/deps build

# How to compile. static, asan and fuzz have a folder B and flags of their own, and the same rules.
B         = build
CFLAGS   ?= -O2 -g
WARN     ?= -Wall -Wextra -Wstrict-prototypes -Wshadow -Wconversion -Wvla
HARDEN   ?= -fPIE $(STACK) -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
# Nor -fcf-protection: a program has its mark only if all its objects have, and Debian's start files have none.
LDHARDEN ?= -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack
STACK     = -fstack-protector-strong -fstack-clash-protection $(ZEROED)
# Not every compiler has this flag. The compiler is asked once, when first needed: on a bare machine `make` itself
# brings the compiler.
ZEROED    = $(eval ZEROED := $(shell $(CC) $(ZERO) -x c -S -o /dev/null /dev/null 2>/dev/null && echo $(ZERO)))$(ZEROED)
ZERO      = -ftrivial-auto-var-init=zero
# libowfat marks functions that write through a pointer as pure: without -Dpure= they are optimized away.
STD       = -std=c11 -D_POSIX_C_SOURCE=200809L -Dpure=
COMPILE   = $(CC) $(STD) $(CFLAGS) $(WARN) $(HARDEN) -ffunction-sections -fdata-sections $(CPPFLAGS) -I. \
            $(CDB_CFLAGS) $(OWFAT_CFLAGS)
LINK      = $(COMPILE) $(LDFLAGS) $(LDHARDEN) -Wl,--gc-sections -Wl,--as-needed

# Where the libraries are; tinycdb's <cdb.h> must come before libowfat's, and its archive, too.
LIBRARIES ?= dep/tinycdb
OWFAT_CFLAGS ?=
OWFAT_LIBS   ?= -l:libowfat.a
CDB_CFLAGS   ?= -isystem dep/tinycdb
CDB_LIBS     ?= dep/tinycdb/libcdb.a
CRYPT_LIBS   ?= -lcrypt
TLS_LIBS     ?= -lssl -lcrypto
dep/tinycdb:
	@tools/deps build
dep/musl:
	@tools/deps static

# V=1 shows whole commands; -s nothing.
V ?= 0
SAY = $(if $(filter 0,$(V)),@$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,echo '  $(1)';))

# Two archives: a program takes the rooms that it names. Rooms that want OpenSSL are in tls.a only.
objects = $(patsubst %.c,$(B)/obj/%.o,$(1))
$(B)/obj/%.o: %.c | $(LIBRARIES)
	@mkdir -p $(@D)
	$(call SAY,cc $@)$(COMPILE) -MMD -MP -c -o $@ $<
-include $(patsubst %.o,%.d,$(call objects,$(ROOMS) $(MAINS)))

$(B)/postern.a: $(call objects,$(filter-out tls/%,$(ROOMS)))
$(B)/tls.a: $(call objects,$(filter tls/%,$(ROOMS)))
$(B)/postern.a $(B)/tls.a: $(FOLDERS) # whose time changes when a room goes
	$(call SAY,ar $@)rm -f $@ && ar rcs $@ $(filter %.o,$^)
$(FOLDERS): ; # none is made of a .c of its name

.SECONDARY: $(call objects,$(MAINS)) # they stay
programs: $(PROGRAMS:%=$(B)/%)
$(B)/postern-%: $(B)/obj/%.o $(B)/postern.a
	$(call SAY,ld $@)$(LINK) -o $@ -Wl,--start-group $^ -Wl,--end-group $(LIBS)
.PHONY: programs made
made: $(MADE) # for another make, which would say of each file that it is up to date
	@:
LIBS = $(CDB_LIBS) $(OWFAT_LIBS)
# -lcrypt is always linked: AddressSanitizer has a crypt_r of its own, which needs the real one unseen by --as-needed.
$(B)/postern-checkpw: LIBS += -Wl,--no-as-needed $(CRYPT_LIBS)
# OpenSSL and never libowfat: the licences forbid both in one program.
$(B)/postern-tlsio: LIBS = $(TLS_LIBS)
$(B)/postern-tlsio: $(B)/tls.a

#: make static     the same programs linked with musl: build/static/postern-*
# Made for speed. A static PIE would cost a session a tenth more, tcpserver's share not counted: it relocates 400
# places, in three more pages. Constants share a segment with the code: two mappings less save a fiftieth. musl has no
# _FORTIFY_SOURCE.
MUSLCC ?= musl-gcc
STATIC  = B=build/static CC='$(MUSLCC)' HARDEN='$$(STACK)' LIBRARIES=dep/musl \
          LDHARDEN='-static -no-pie -Wl,-z,noexecstack,-z,noseparate-code' \
          CDB_CFLAGS='-isystem dep/musl/include/tinycdb' CDB_LIBS=dep/musl/libcdb.a \
          OWFAT_CFLAGS='-isystem dep/musl/include/libowfat' OWFAT_LIBS=dep/musl/libowfat.a
# musl has no OpenSSL, and its crypt(3) knows no yescrypt: these programs are never static, and build/static has the
# ordinary ones.
DYNAMIC = postern-checkpw postern-tlsio
static: $(DYNAMIC:%=build/%)
	@$(MAKE) --no-print-directory $(STATIC) made MADE='$(patsubst %,build/static/%,$(filter-out $(DYNAMIC),$(PROGRAMS)))'
	@cp -pu $(DYNAMIC:%=build/%) build/static

#: make check      all tests; ONLY="name ..." for some of them
# Unit tests link the archives; so does the program that dumps the vocabulary for the other tests.
UNITS = $(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/*.c))
$(B)/tests/%: tests/unit/%.c $(B)/postern.a $(B)/tls.a
	@mkdir -p $(@D)
	$(call SAY,cc $@)$(LINK) -MMD -MP -MF $@.d -o $@ -Wl,--start-group $< $(filter %.a,$^) -Wl,--end-group $(LIBS) \
	    -lcheck_pic -lsubunit -lrt -lm -pthread
-include $(UNITS:%=%.d)
check: deps-check programs $(UNITS)
	tests/run $(B) $(ONLY)

#: make asan       all tests again with AddressSanitizer and UBSan in every program
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ASAN     = B=build/asan HARDEN='-fPIE $$(STACK) -U_FORTIFY_SOURCE $$(SANITIZE)' LDHARDEN=-pie
asan:
	@$(MAKE) --no-print-directory $(ASAN) check

#: make run        serves on 127.0.0.1, takes all mail; PORT=2525, TABLES=1, TLS=1, AUTH=1, knobs of postern-smtpd(8)
PORT ?= 2525
run: deps-run all cdb
	@tools/serve '$(PORT)'

#: make cdb        compiles the tables cdb/domains, cdb/mailboxes and cdb/badsenders
KINDS = domains mailboxes badsenders
cdb: $(KINDS:%=cdb/%.cdb)
cdb/%.cdb: cdb/% build/postern-cdb
	build/postern-cdb $* $< $@

#: make rooms      every program and every room with its subject, floor by floor
SUBJECT = sed -s -n '1{ s,^/\* *,    ,; s, *\*/$$,,; p }'
rooms:
	@echo programs; $(SUBJECT) $(MAINS)
	@n=0; for floor in $(FLOORS); do n=$$((n + 1)); for folder in $$(echo $$floor | tr + ' '); do \
	    echo "$$n $$folder/"; $(SUBJECT) $$folder/*.h; done; done

#: make bench      measures speed against its limits; BENCH="--quick", BENCH="session body"
bench: deps-bench all static bench-programs
	bench/run $(BENCH)
include bench/bench.mk

#: make fuzz       every fuzzer for FUZZ_SECONDS=60; fuzz-NAME one of them
include tests/fuzz/fuzz.mk

#: make lint       static analysis, formatting, manuals, scripts, units
lint: deps-lint
	tools/lint

#: make install    programs, manuals, units; only below $(DESTDIR)
install: all
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(mandir)/man5 $(DESTDIR)$(mandir)/man8 $(DESTDIR)$(unitdir)
	install -m 755 $(PROGRAMS:%=build/%) $(DESTDIR)$(bindir)
	install -m 644 $(wildcard man/*.5) $(DESTDIR)$(mandir)/man5
	install -m 644 $(wildcard man/*.8) $(DESTDIR)$(mandir)/man8
	tools/units $(DESTDIR)$(unitdir) $(bindir)
UNITFILES = $(notdir $(wildcard etc/systemd/postern*))
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
