# The fuzzers: libFuzzer over the rooms, with AddressSanitizer and UBSan. What is kept is in fuzz/corpus/NAME; what a
# run finds new, in build/fuzz/corpus/NAME. `make fuzz-keep` adds to the kept what covers more of the code.
FUZZ_SECONDS ?= 60
FUZZCC   ?= clang
FUZZERS   = $(patsubst fuzz/fuzz_%.c,%,$(wildcard fuzz/fuzz_*.c))
FUZZFLAGS = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ      = $(FUZZCC) $(STD) $(WARN) $(FUZZFLAGS) -I. $(CDB_CFLAGS) $(OWFAT_CFLAGS)
FUZZRUN   = -timeout=10 -rss_limit_mb=1024 -max_len=8192
$(eval $(call BUILD,build/fuzz,$$(FUZZ) -fsanitize=fuzzer-no-link,,$$(CDB_LIBS) $$(OWFAT_LIBS)))

build/fuzz/fuzz_%: fuzz/fuzz_%.c $(patsubst %,build/fuzz/obj/%.o,$(TESTED))
	@mkdir -p $(@D)
	$(call SAY,cc $@)$(FUZZ) -fsanitize=fuzzer -MMD -MP -o $@ $(filter %.c %.o,$^) $(CDB_LIBS) $(OWFAT_LIBS)
-include $(FUZZERS:%=build/fuzz/fuzz_%.d)

# A failure is told by the claim that did not hold; the input is left in build/fuzz/NAME-crash-*.
.PHONY: fuzz-keep $(FUZZERS:%=fuzz-%)
fuzz: deps-fuzz $(FUZZERS:%=fuzz-%)
$(FUZZERS:%=fuzz-%): fuzz-%: build/fuzz/fuzz_%
	@mkdir -p build/fuzz/corpus/$*
	@echo "fuzz: $* for $(FUZZ_SECONDS) s"
	@$< $(FUZZRUN) $(if $(wildcard fuzz/$*.dict),-dict=fuzz/$*.dict) -max_total_time=$(FUZZ_SECONDS) \
	    -artifact_prefix=build/fuzz/$*- build/fuzz/corpus/$* fuzz/corpus/$* > build/fuzz/$*.log 2>&1 || \
	    { tail -n 40 build/fuzz/$*.log; exit 1; }
	@tail -n 1 build/fuzz/$*.log
fuzz-keep: $(FUZZERS:%=build/fuzz/fuzz_%)
	for name in $(FUZZERS); do \
	    build/fuzz/fuzz_$$name $(FUZZRUN) -set_cover_merge=1 -use_counters=0 \
	        fuzz/corpus/$$name build/fuzz/corpus/$$name || exit; done
