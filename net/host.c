#include "net/host.h"

#include "mail/address.h"

#include <unistd.h>

enum { OWN = 64 }; /* octets of a machine's name (HOST_NAME_MAX) */

static char own[OWN + 1];

static const char *preset(const struct knob *k, void *field)
{
    (void)k;
    (void)field;
    if (gethostname(own, sizeof own) < 0)
        return "";
    own[OWN] = 0;
    return own;
}

static const char *scan(const struct knob *k, const char *text, void *field)
{
    (void)k;
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p >= 0x80)
            return "not ASCII";
    if (!address_is_domain(slice_of(text)))
        return "not a host name";
    *(const char **)field = text;
    return NULL;
}

const struct kind host_kind = {scan, knob_show_text, NULL, preset, false};

bool host_is_own(const char *name)
{
    return name == own;
}
