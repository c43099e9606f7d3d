#include "log/complaint.h"

#include "log/log.h"

#include <stdio.h>

void complaint_tell(void *program, const char *name, const char *value, const char *why)
{
    char quoted[LOG_QUOTED];
    size_t n = value ? log_in_quotes(quoted, sizeof quoted, slice_of(value)) : 0;

    dprintf(2, "%s: %s: %.*s%s%s\n", (const char *)program, name, (int)n, quoted, value ? " is " : "", why);
}
