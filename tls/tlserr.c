#include "tls/tlserr.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

const char *tlserr_take(void)
{
    static char number[32];
    unsigned long code = ERR_get_error();

    ERR_clear_error();
    if (!code)
        return NULL;
    if (ERR_SYSTEM_ERROR(code))
        return strerror(ERR_GET_REASON(code));
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        return "truncated";
    const char *reason = ERR_reason_error_string(code);
    if (reason)
        return reason;
    snprintf(number, sizeof number, "OpenSSL error %lx", code);
    return number;
}
