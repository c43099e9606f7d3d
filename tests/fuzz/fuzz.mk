# The fuzzers: libFuzzer over the rooms, with AddressSanitizer and UBSan. The inputs that we keep are in
# tests/fuzz/corpus/NAME, new ones of a run in build/fuzz/corpus/NAME. `make fuzz-keep` keeps those of the new ones that
# cover more of the code.
FUZZ_SECONDS ?= 60
FUZZCC   ?= clang
FUZZERS   = $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ      = B=build/fuzz CC='$(FUZZCC)' CFLAGS='-O1 -g' HARDEN='$$(SANITIZE) -fsanitize=fuzzer-no-link' LDHARDEN=
FUZZRUN   = -timeout=10 -rss_limit_mb=1024 -max_len=8192

build/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(B)/postern.a $(B)/tls.a
	$(call SAY,cc $@)$(LINK) -fsanitize=fuzzer -MMD -MP -o $@ -Wl,--start-group $(filter %.c %.a,$^) -Wl,--end-group $(LIBS)
-include $(FUZZERS:%=build/fuzz/fuzz_%.d)

# After a failure the output names the claim that did not hold; the input is left in build/fuzz/NAME-crash-*.
.PHONY: fuzz-rooms fuzz-keep $(FUZZERS:%=fuzz-%)
fuzz: deps-fuzz $(FUZZERS:%=fuzz-%)
fuzz-rooms: # once, before any fuzzer takes them
	@$(MAKE) --no-print-directory $(FUZZ) made MADE='build/fuzz/postern.a build/fuzz/tls.a'
$(FUZZERS:%=fuzz-%): fuzz-%: fuzz-rooms
	@$(MAKE) --no-print-directory $(FUZZ) made MADE=build/fuzz/fuzz_$*
	@mkdir -p build/fuzz/corpus/$*
	@echo "fuzz: $* for $(FUZZ_SECONDS) s"
	@build/fuzz/fuzz_$* $(FUZZRUN) $(if $(wildcard tests/fuzz/$*.dict),-dict=tests/fuzz/$*.dict) \
	    -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build/fuzz/$*- \
	    build/fuzz/corpus/$* $(wildcard tests/fuzz/corpus/$*) > build/fuzz/$*.log 2>&1 || { tail -n 40 build/fuzz/$*.log; exit 1; }
	@tail -n 1 build/fuzz/$*.log
fuzz-keep: fuzz-rooms
	@$(MAKE) --no-print-directory $(FUZZ) made MADE='$(FUZZERS:%=build/fuzz/fuzz_%)'
	for name in $(FUZZERS); do \
	    mkdir -p tests/fuzz/corpus/$$name build/fuzz/corpus/$$name; \
	    build/fuzz/fuzz_$$name $(FUZZRUN) -set_cover_merge=1 -use_counters=0 \
	        tests/fuzz/corpus/$$name build/fuzz/corpus/$$name || exit; done
