#define _POSIX_C_SOURCE 200809L
#include "tls/tlscheck.h"

#include "base/about.h"
#include "base/exits.h"
#include "log/complaint.h"
#include "log/log.h"
#include "tls/tlsctx.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/x509v3.h>

enum { NAMES = LOG_VALUE + 1 };

static void complain(void *context, const char *step, const char *object, const char *why)
{
    char quoted[LOG_QUOTED];
    size_t n = log_quote(quoted, sizeof quoted, slice_of(object));

    fprintf(stderr, "postern-tlsio: %s: %.*s: %s\n", step, (int)n, quoted, why);
    ++*(int *)context;
}

static void print_knob(void *context, const char *name, const char *value)
{
    (void)context;
    if (value)
        printf("%s=%s\n", name, value);
    else
        printf("#%s\n", name);
}

static void print_pair(const char *key, struct slice value)
{
    char quoted[LOG_QUOTED];
    size_t n = log_quote(quoted, sizeof quoted, value);

    printf(" %s=%.*s", key, (int)n, quoted);
}

static void print_subject(const X509 *leaf)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    long n = 0;

    if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(leaf), 0, XN_FLAG_RFC2253) >= 0)
        n = BIO_get_mem_data(bio, &text);
    print_pair("subject", (struct slice){text, text && n > 0 ? (size_t)n : 0});
    BIO_free(bio);
}

/* The certificate's host names, with commas between them; longer than log_quote keeps, so that a cut is
 * seen. */
static void print_names(const X509 *leaf)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    char list[NAMES];
    size_t n = 0;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS)
            continue;
        if (n && n < sizeof list)
            list[n++] = ',';
        const unsigned char *text = ASN1_STRING_get0_data(name->d.dNSName);
        for (int k = 0; k < ASN1_STRING_length(name->d.dNSName) && n < sizeof list; k++)
            list[n++] = (char)text[k];
    }
    print_pair("names", (struct slice){list, n});
    GENERAL_NAMES_free(names);
}

static void print_end(const X509 *leaf)
{
    struct tm tm;
    char text[32] = "?";

    if (ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) == 1)
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    print_pair("notafter", slice_of(text));
}

static void print_key(const struct cert *c)
{
    char text[64] = "none";

    if (c->key)
        snprintf(text, sizeof text, "%s-%d", EVP_PKEY_get0_type_name(c->key), EVP_PKEY_get_bits(c->key));
    print_pair("key", slice_of(text));
    print_pair("match", slice_of(c->matches ? "yes" : "no"));
}

static void check_pair(const char *certfile, const char *keyfile, int *bad)
{
    struct cert c;

    cert_load(&c, certfile, keyfile, complain, bad);
    if (c.leaf) {
        const char *fault = cert_date_fault(&c);
        if (fault)
            complain(bad, "certificate", certfile, fault);
        printf("#");
        print_pair("certificate", slice_of(certfile));
        print_subject(c.leaf);
        print_names(c.leaf);
        print_end(c.leaf);
        print_key(&c);
        printf(" chain=%d\n", sk_X509_num(c.chain) > 0 ? sk_X509_num(c.chain) : 0);
    }
    cert_free(&c);
}

/* Only names that a client could ask for: certbot keeps a README there. */
static int is_host(const struct dirent *entry)
{
    char name[TLSCTX_NAME + 1];
    return tlsctx_name(name, entry->d_name) && !strcmp(name, entry->d_name) && strcmp(name, "readme");
}

static void check_certdir(const char *certdir, int *bad)
{
    struct dirent **entries = NULL;
    struct tlsctx_pair p;
    int n = scandir(certdir, &entries, is_host, alphasort);

    if (n < 0)
        complain(bad, "config", "CERTDIR", strerror(errno));
    for (int i = 0; i < n; i++) {
        if (tlsctx_pair(&p, certdir, entries[i]->d_name))
            check_pair(p.certfile, p.keyfile, bad);
        else
            complain(bad, "certificate", entries[i]->d_name, strerror(ENAMETOOLONG));
        free(entries[i]);
    }
    free(entries);
}

/* Complaints that only the context has: ciphers, CAs, a key too short. Those about the pair's files were
 * made before. */
static void ignore(void *context, const char *step, const char *object, const char *why)
{
    (void)context;
    (void)step;
    (void)object;
    (void)why;
}

int tlscheck(char *const *environment)
{
    struct tlsconf conf;
    struct tlsctx t;
    int bad = 0;

    if (tlsconf_load(&conf, environment, complaint_tell, "postern-tlsio: config"))
        return EXIT_WRONG;
    printf("# postern " ABOUT_VERSION "\n");
    tlsconf_each(&conf, print_knob, NULL);
    check_pair(conf.certfile, tlsconf_keyfile(&conf), &bad);
    if (conf.certdir)
        check_certdir(conf.certdir, &bad);
    /* Where the files are sound: OpenSSL's own verdict on ciphers, CAs, and keys too short. */
    tlsctx_init(&t, &conf, bad ? ignore : complain, &bad);
    tlsctx_free(&t);
    if (fflush(stdout) || ferror(stdout))
        return EXIT_TROUBLE;
    return bad ? EXIT_WRONG : EXIT_OK;
}
