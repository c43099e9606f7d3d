# Programs that only the bench needs; included by the Makefile. bench/README.md describes each.
MUSLCC ?= musl-gcc
BENCH_BIN = build/bench/bin
BENCH_CFLAGS = -std=gnu11 -O2 -Wall -Wextra -Wshadow -Wconversion
BENCH_LIMITS = smtpnull smtpspool sock2file listnull empty
BENCH_TLS = tlsnull tlsload
BENCH_PROGRAMS = $(BENCH_LIMITS:%=$(BENCH_BIN)/%) $(BENCH_TLS:%=$(BENCH_BIN)/%) $(BENCH_BIN)/smtpload $(BENCH_BIN)/empty-dynamic

.PHONY: bench-programs
bench-programs: $(BENCH_PROGRAMS)

$(BENCH_LIMITS:%=$(BENCH_BIN)/%): $(BENCH_BIN)/%: bench/%.c
	@mkdir -p $(@D)
	$(MUSLCC) $(BENCH_CFLAGS) -static -o $@ $<

$(BENCH_BIN)/smtpload: bench/smtpload.c
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -o $@ $<

$(BENCH_TLS:%=$(BENCH_BIN)/%): $(BENCH_BIN)/%: bench/%.c
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -o $@ $< $(TLS_LIBS)

$(BENCH_BIN)/empty-dynamic: bench/empty.c
	@mkdir -p $(@D)
	$(CC) $(BENCH_CFLAGS) -o $@ $<
