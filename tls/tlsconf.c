#include "tls/tlsconf.h"

#include <stddef.h>
#include <string.h>

static const char *const versions[] = {"1.2", "1.3", NULL};

static const char *scan_version(const struct knob *k, const char *text, void *field)
{
    return knob_choice.scan(k, text, field) ? "neither 1.2 nor 1.3" : NULL;
}

static const struct kind version = {scan_version, knob_show_choice, NULL, knob_preset_choice, false};

/* It is shown as it was written. */
static const char *scan_timeout(const struct knob *k, const char *text, void *field)
{
    struct tlsconf *c = (struct tlsconf *)((char *)field - k->field);
    const char *why = knob_seconds.scan(k, text, &c->patience);

    if (!why)
        c->session_timeout = text;
    return why;
}

static const struct kind timeout = {scan_timeout, knob_show_text, knob_wrong_seconds, knob_preset_text,
                                    false};

#define FIELD(member) offsetof(struct tlsconf, member)

/* Of TLS 1.2 only ephemeral keys and known servers; CBC comes last, for mail servers that have nothing newer.
 */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!AESCCM"

static const struct knob knobs[] = {
    KNOB_PLAIN("CERTFILE", knob_path, FIELD(certfile)),
    KNOB_PLAIN("KEYFILE", knob_path, FIELD(keyfile)),
    KNOB_PLAIN("CERTDIR", knob_path, FIELD(certdir)),
    KNOB_CHOICE("TLS_MIN", version, FIELD(tls_min), TLS_MIN_1_2, versions),
    KNOB_TEXT("CIPHERS", knob_text, FIELD(ciphers), CIPHERS, 1, SIZE_MAX),
    KNOB_PLAIN("CCAFILE", knob_path, FIELD(ccafile)),
    KNOB_TEXT("SESSION_TIMEOUT", timeout, FIELD(session_timeout), "3600", 1, 864000),
};

enum { KNOBS = sizeof knobs / sizeof *knobs };

int tlsconf_load(struct tlsconf *c, char *const *environment, knob_complaint *complain, void *context)
{
    memset(c, 0, sizeof *c);
    int bad = knob_load(knobs, KNOBS, c, environment, complain, context);
    if (!c->certfile && !bad) {
        complain(context, "CERTFILE", NULL, "not set");
        bad++;
    }
    return bad;
}

const char *tlsconf_keyfile(const struct tlsconf *c)
{
    return c->keyfile ? c->keyfile : c->certfile;
}

void tlsconf_each(const struct tlsconf *c, knob_reader *read, void *context)
{
    knob_each(knobs, KNOBS, c, read, context);
}
