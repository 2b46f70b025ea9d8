/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "process/words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* A word that grows. */
struct text {
    char *data;
    size_t length, capacity;
};

static bool put(struct text *t, const char *from, size_t n)
{
    if (t->length + n + 1 > t->capacity) {
        size_t capacity = 2 * t->capacity + n + 64;
        char *data = realloc(t->data, capacity);
        if (!data)
            return false;
        t->data = data;
        t->capacity = capacity;
    }
    memcpy(t->data + t->length, from, n);
    t->length += n;
    t->data[t->length] = '\0';
    return true;
}

/* Takes 'word', also on failure. */
static bool append(struct emd_words *words, char *word)
{
    if (words->count + 1 >= words->capacity) {
        size_t capacity = words->capacity ? 2 * words->capacity : 16;
        char **grown = realloc(words->word, capacity * sizeof *grown);
        if (!grown) {
            free(word);
            return false;
        }
        words->word = grown;
        words->capacity = capacity;
    }
    words->word[words->count++] = word;
    words->word[words->count] = NULL;
    return true;
}

enum emd_status emd_words_add(struct emd_words *words, const char *text, struct emd_error *err)
{
    char *copy = strdup(text);
    if (!copy || !append(words, copy))
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    return EMD_OK;
}

void emd_words_free(struct emd_words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->word[i]);
    free(words->word);
    *words = (struct emd_words){0};
}

/* What the names in a text stand for. */
struct names {
    emd_lookup *value;
    emd_lookup_list *list;
    void *ctx;
};

/* "${NAME}" or "$$" at *p, which moves behind it. */
static enum emd_status put_variable(struct text *t, const char **p, const struct names *names,
                                    bool *empty, struct emd_error *err)
{
    const char *at = *p + 1;
    char name[64];
    size_t n = 0;
    if (*at == '$') {
        *p = at + 1;
        return put(t, "$", 1) ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    if (*at != '{')
        return emd_fail(err, EMD_E_FORMAT, "a '$' must be ${NAME}, or $$ for the character");
    for (at++; (isalnum((unsigned char)*at) || *at == '_') && n + 1 < sizeof name; at++)
        name[n++] = *at;
    name[n] = '\0';
    const bool insists = *at == '!';
    at += insists;
    if (*at != '}' || n == 0)
        return emd_fail(err, EMD_E_FORMAT, "'${%s' is no variable: ${NAME} of letters, digits, _",
                        name);
    const char *value = names->value(names->ctx, name);
    if (!value && names->list && names->list(names->ctx, name))
        return emd_fail(err, EMD_E_FORMAT,
                        "'%s' is a list: ${%s} must be a word of its own, without quotes", name,
                        name);
    if (!value)
        return emd_fail(err, EMD_E_FORMAT, "there is no variable '%s'", name);
    if (insists && *value == '\0')
        return emd_fail(err, EMD_E_EMPTY, "'%s' is empty", name);
    *empty |= *value == '\0';
    *p = at + 1;
    return put(t, value, strlen(value)) ? EMD_OK : emd_fail(err, EMD_E_MEMORY, "out of memory");
}

/* One word at *p, which moves behind it; *empty if it is to be left out. */
static enum emd_status split_word(const char **p, const struct names *names, struct text *t,
                                  bool *empty, struct emd_error *err)
{
    enum emd_status status = EMD_OK;
    char quote = '\0';
    bool fits = put(t, "", 0);
    while (status == EMD_OK && fits && **p && (quote || !isspace((unsigned char)**p))) {
        char c = **p;
        if (quote ? c == quote : c == '\'' || c == '"') {
            quote = quote ? '\0' : c;
            ++*p;
        } else if (c == '\\' && quote != '\'') {
            if ((*p)[1] == '\0')
                return emd_fail(err, EMD_E_FORMAT, "nothing follows the last backslash");
            fits = put(t, *p + 1, 1);
            *p += 2;
        } else if (c == '$' && quote != '\'') {
            status = put_variable(t, p, names, empty, err);
        } else {
            fits = put(t, (*p)++, 1);
        }
    }
    if (!fits)
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    if (status == EMD_OK && quote)
        return emd_fail(err, EMD_E_FORMAT, "a %c is not closed", quote);
    return status;
}

/* Is the word at *p, which moves behind it, a list? Its words are appended. */
static bool take_list(const char **p, const struct names *names, struct emd_words *words,
                      enum emd_status *status, struct emd_error *err)
{
    const char *at = *p;
    char name[64];
    size_t n = 0;
    if (!names->list || at[0] != '$' || at[1] != '{')
        return false;
    for (at += 2; (isalnum((unsigned char)*at) || *at == '_') && n + 1 < sizeof name; at++)
        name[n++] = *at;
    name[n] = '\0';
    if (*at != '}' || (at[1] != '\0' && !isspace((unsigned char)at[1])))
        return false;
    const struct emd_words *list = names->list(names->ctx, name);
    if (!list)
        return false;
    *p = at + 1;
    *status = EMD_OK;
    for (size_t i = 0; i < list->count && *status == EMD_OK; i++)
        *status = emd_words_add(words, list->word[i], err);
    return true;
}

enum emd_status emd_words_split(const char *text, emd_lookup *lookup, emd_lookup_list *lists,
                                void *ctx, struct emd_words *words, struct emd_error *err)
{
    const struct names names = {lookup, lists, ctx};
    for (const char *p = text;;) {
        struct text t = {0};
        bool empty = false;
        enum emd_status status;
        while (isspace((unsigned char)*p))
            p++;
        if (*p == '\0')
            return EMD_OK;
        if (!take_list(&p, &names, words, &status, err)) {
            status = split_word(&p, &names, &t, &empty, err);
            if (status != EMD_OK || empty)
                free(t.data);
            else if (!append(words, t.data))
                status = emd_fail(err, EMD_E_MEMORY, "out of memory");
        }
        if (status != EMD_OK)
            return status;
    }
}

static bool put_quoted(struct text *t, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_./=,:+@%";
    if (*word && strspn(word, plain) == strlen(word))
        return put(t, word, strlen(word));
    bool ok = put(t, "'", 1);
    for (const char *p = word; *p; p++)
        ok = ok && (*p == '\'' ? put(t, "'\\''", 4) : put(t, p, 1));
    return ok && put(t, "'", 1);
}

char *emd_words_join(const struct emd_words *words)
{
    struct text t = {0};
    bool ok = put(&t, "", 0);
    for (size_t i = 0; i < words->count; i++)
        ok = ok && (i == 0 || put(&t, " ", 1)) && put_quoted(&t, words->word[i]);
    if (!ok) {
        free(t.data);
        return NULL;
    }
    return t.data;
}
