/* A packet that should be the answer of a name server: its records, its text, and its meaning as a list's
 * answer. */
#include "tests/fuzz/fuzz.h"

#include "dns/answer.h"
#include "dns/finding.h"

enum { SPACE = 200 };

/* Records lie in the packet, one behind the other. */
static void check_records(struct slice packet, enum answer_type type)
{
    struct answer a;
    struct slice data;
    const char *before = packet.p;
    int found;

    if (!answer_begin(&a, packet))
        return;
    while ((found = answer_next(&a, type, &data)) > 0) {
        MUST(data.p > before && data.p + data.n <= packet.p + packet.n);
        before = data.p;
    }
    MUST(found < 0 || !a.left);
}

static void check_text(struct slice packet)
{
    char text[SPACE];
    size_t n = answer_text(packet, text, sizeof text);
    MUST(n <= SPACE);
    for (size_t i = 0; i < n; i++)
        MUST(text[i] >= ' ' && text[i] <= '~');
}

static void check_hit(const unsigned char *a)
{
    MUST(a[0] == 127);
    MUST(!(a[1] == 255 && a[2] == 255));
    MUST(!(a[1] == 0 && a[2] == 0 && (a[3] == 1 || a[3] == 255)));
}

static void check_finding(struct slice packet)
{
    struct dnslists set;
    unsigned char address[4];

    MUST(!dnslist_parse(slice_of("a.x b.x=127.[0..3].[0;7..255].[1..9;255]"), &set));
    for (size_t i = 0; i < set.n; i++) {
        enum finding_state state = finding_judge(&set.list[i], packet, address);
        MUST(state != FINDING_ASKED && state != FINDING_TIMEOUT);
        if (state == FINDING_HIT)
            check_hit(address);
        MUST(state != FINDING_HIT || !i ||
             (address[1] <= 3 && address[3] && (address[3] <= 9 || address[3] == 255)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice packet = copy_of(data, size);

    check_records(packet, ANSWER_A);
    check_records(packet, ANSWER_TXT);
    check_text(packet);
    check_finding(packet);
    drop(packet);
    return 0;
}
