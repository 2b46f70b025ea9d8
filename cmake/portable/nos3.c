/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Debian's libhdf5.a can read files from S3 servers, for which it needs libcurl and libcrypto,
 * which need thirty other libraries. Programs of ours open no such files; these refuse. */
#include <stddef.h>

int curl_global_init(long flags);
void curl_global_cleanup(void);
void *curl_easy_init(void);
void curl_easy_cleanup(void *handle);
int curl_easy_perform(void *handle);
int curl_easy_setopt(void *handle, int option, ...);
void *curl_slist_append(void *list, const char *text);
void curl_slist_free_all(void *list);
const void *EVP_sha256(void);
unsigned char *HMAC(const void *method, const void *key, int key_size, const unsigned char *data,
                    size_t n, unsigned char *out, unsigned *out_size);
unsigned char *SHA256(const unsigned char *data, size_t n, unsigned char *out);

enum { CURLE_FAILED_INIT = 2 };

int curl_global_init(long flags)
{
    (void)flags;
    return CURLE_FAILED_INIT;
}

void curl_global_cleanup(void)
{
}

void *curl_easy_init(void)
{
    return NULL;
}

void curl_easy_cleanup(void *handle)
{
    (void)handle;
}

int curl_easy_perform(void *handle)
{
    (void)handle;
    return CURLE_FAILED_INIT;
}

int curl_easy_setopt(void *handle, int option, ...)
{
    (void)handle;
    (void)option;
    return CURLE_FAILED_INIT;
}

void *curl_slist_append(void *list, const char *text)
{
    (void)list;
    (void)text;
    return NULL;
}

void curl_slist_free_all(void *list)
{
    (void)list;
}

const void *EVP_sha256(void)
{
    return NULL;
}

unsigned char *HMAC(const void *method, const void *key, int key_size, const unsigned char *data,
                    size_t n, unsigned char *out, unsigned *out_size)
{
    (void)method;
    (void)key;
    (void)key_size;
    (void)data;
    (void)n;
    (void)out;
    (void)out_size;
    return NULL;
}

unsigned char *SHA256(const unsigned char *data, size_t n, unsigned char *out)
{
    (void)data;
    (void)n;
    (void)out;
    return NULL;
}
