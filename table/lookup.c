#include "table/lookup.h"

int lookup_domain(struct table *t, struct slice domain)
{
    char key[1 + ADDRESS_DOMAIN];
    struct slice value;

    if (domain.n > ADDRESS_DOMAIN)
        return 0;
    int r = table_find(t, domain, &value);
    if (r)
        return r;
    key[0] = '.';
    memcpy(key + 1, domain.p, domain.n);
    struct slice rest = {key, domain.n + 1};
    while (rest.n) { /* .a.b.example, .b.example, .example */
        if ((r = table_find(t, rest, &value)))
            return r;
        const char *dot = memchr(rest.p + 1, '.', rest.n - 1);
        rest = dot ? slice_after(rest, (size_t)(dot - rest.p)) : (struct slice){NULL, 0};
    }
    return 0;
}

int lookup_mailbox(struct table *t, const struct address *a, struct slice *value)
{
    char key[ADDRESS_FMT];
    size_t n = address_key(key, a);
    int r = table_find(t, (struct slice){key, n}, value);
    if (r)
        return r;

    const char *plus = a->local_len > 1 ? memchr(key + 1, '+', a->local_len - 1U) : NULL;
    size_t domain = 1U + a->domain_len;
    if (plus) {
        size_t user = (size_t)(plus - key);
        memmove(key + user, key + a->local_len, domain);
        if ((r = table_find(t, (struct slice){key, user + domain}, value)))
            return r;
        return table_find(t, (struct slice){key + user, domain}, value);
    }
    return table_find(t, (struct slice){key + a->local_len, domain}, value);
}

int lookup_sender(struct table *t, const struct address *a)
{
    char key[ADDRESS_FMT];
    struct slice value;

    if (address_is_null(a))
        return 0;
    int r = table_find(t, (struct slice){key, address_key(key, a)}, &value);
    return r ? r : lookup_domain(t, (struct slice){a->domain, a->domain_len});
}

int lookup_user(struct table *t, struct slice name, struct slice *hash)
{
    char key[ENTRY_USER_NAME];

    /* No name, or too long a one, is not there; but trouble comes first. */
    size_t n = name.n > sizeof key ? 0 : name.n;
    for (size_t i = 0; i < n; i++)
        key[i] = slice_lower(name.p[i]);
    int r = table_find(t, (struct slice){key, n}, hash);
    return n ? r : r < 0 ? -1 : 0;
}
