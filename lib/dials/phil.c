/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "dials/phil.h"

#include <stdio.h>
#include <string.h>

#include "base/nearest.h"

/* Scopes within scopes; libtbx has no limit, DIALS' deepest has nine. */
enum { DEPTH = 32 };

struct parser {
    const char *at, *end;
    size_t line;
    char name[EMD_PHIL_NAME]; /* the scopes that are open, joined by dots */
    size_t name_length;
    size_t outer[DEPTH]; /* length of the name outside of each scope */
    size_t depth;
    size_t disabled; /* depth of the outermost scope that is switched off, 0: none */
    char value[EMD_PHIL_VALUE];
    size_t value_length;
    emd_phil_take *take;
    void *ctx;
    struct emd_error *err;
};

static enum emd_status fail(struct parser *p, const char *what)
{
    return emd_fail(p->err, EMD_E_FORMAT, "line %zu: %s", p->line, what);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

/* To the next thing that is no blank, line's end or comment. */
static void skip_space(struct parser *p)
{
    while (p->at < p->end) {
        if (*p->at == '#') {
            while (p->at < p->end && *p->at != '\n')
                p->at++;
        } else if (*p->at == '\n' || *p->at == ';' || is_blank(*p->at)) {
            p->line += *p->at == '\n';
            p->at++;
        } else {
            break;
        }
    }
}

static bool append(char *to, size_t size, size_t *length, char c)
{
    if (*length + 1 >= size)
        return false;
    to[(*length)++] = c;
    to[*length] = '\0';
    return true;
}

/* A text in quotes of one or three characters. */
static enum emd_status read_quoted(struct parser *p)
{
    const char quote = *p->at;
    const size_t start = p->line;
    const size_t n = p->end - p->at >= 3 && p->at[1] == quote && p->at[2] == quote ? 3 : 1;
    p->at += n;
    for (;;) {
        if (p->at >= p->end || (n == 1 && *p->at == '\n')) {
            p->line = start;
            return fail(p, "a quote is not closed");
        }
        if (*p->at == quote &&
            (n == 1 || (p->end - p->at >= 3 && p->at[1] == quote && p->at[2] == quote))) {
            p->at += n;
            return EMD_OK;
        }
        if (*p->at == '\\' && p->end - p->at > 1 && (p->at[1] == quote || p->at[1] == '\\'))
            p->at++;
        if (*p->at == '\0')
            return fail(p, "a NUL character");
        p->line += *p->at == '\n';
        if (!append(p->value, sizeof p->value, &p->value_length, *p->at++))
            return fail(p, "the value is too long");
    }
}

/* Strings that follow each other belong together, in lines of their own, too. */
static bool string_follows(const struct parser *p)
{
    const char *q = p->at;
    while (q < p->end && (is_blank(*q) || *q == '\n'))
        q++;
    return q > p->at && q < p->end && (*q == '"' || *q == '\'');
}

/* Words to the end of the line, ';', '}' or a comment; they may go on in the next line. */
static enum emd_status read_value(struct parser *p)
{
    size_t words = 0, chosen = 0, chosen_at = 0;
    bool quoted = false;
    p->value_length = 0;
    p->value[0] = '\0';
    for (;;) {
        while (p->at < p->end && is_blank(*p->at))
            p->at++;
        if (p->at < p->end && *p->at == '\\') {
            const char *q = p->at + 1;
            while (q < p->end && is_blank(*q))
                q++;
            if (q < p->end && *q == '\n') {
                p->at = q + 1;
                p->line++;
                continue;
            }
        }
        if (words > 0 && quoted && string_follows(p))
            skip_space(p);
        if (p->at >= p->end || strchr("\n;#}", *p->at)) /* a NUL is found, too, and refused later */
            break;
        if (words++ > 0 && !append(p->value, sizeof p->value, &p->value_length, ' '))
            return fail(p, "the value is too long");
        const size_t begin = p->value_length;
        if (*p->at == '"' || *p->at == '\'') {
            enum emd_status status = read_quoted(p);
            if (status != EMD_OK)
                return status;
            quoted = true;
        } else {
            quoted = false;
            while (p->at < p->end && !is_blank(*p->at) && !strchr("\n;#}\"'", *p->at))
                if (!append(p->value, sizeof p->value, &p->value_length, *p->at++))
                    return fail(p, "the value is too long");
            if (p->value_length - begin > 1 && p->value[begin] == '*') {
                chosen++;
                chosen_at = begin + 1;
            }
        }
    }
    if (words == 0)
        return fail(p, "a value is missing");
    if (chosen == 1) { /* "*one of several" */
        const size_t n = strcspn(p->value + chosen_at, " ");
        memmove(p->value, p->value + chosen_at, n);
        p->value[n] = '\0';
        p->value_length = n;
    }
    return EMD_OK;
}

/* Adds a name behind the scopes that are open. */
static enum emd_status open_name(struct parser *p, const char *name, size_t n)
{
    if (p->name_length + (p->name_length > 0) + n >= sizeof p->name)
        return fail(p, "the name is too long");
    if (p->name_length > 0)
        p->name[p->name_length++] = '.';
    memcpy(p->name + p->name_length, name, n);
    p->name_length += n;
    p->name[p->name_length] = '\0';
    return EMD_OK;
}

static void close_name(struct parser *p, size_t length)
{
    p->name_length = length;
    p->name[length] = '\0';
}

static enum emd_status open_scope(struct parser *p, const char *name, size_t n, bool off)
{
    const size_t outside = p->name_length;
    if (p->depth == DEPTH)
        return fail(p, "too many scopes within scopes");
    enum emd_status status = open_name(p, name, n);
    if (status != EMD_OK)
        return status;
    p->outer[p->depth++] = outside;
    if (off && p->disabled == 0)
        p->disabled = p->depth;
    p->at++;
    return EMD_OK;
}

static enum emd_status define(struct parser *p, const char *name, size_t n, bool off)
{
    const size_t outside = p->name_length, line = p->line;
    enum emd_status status = read_value(p);
    if (status != EMD_OK || off || p->disabled > 0 || *name == '.')
        return status; /* ".help = ..." is about what stands before it */
    status = open_name(p, name, n);
    if (status == EMD_OK)
        status = p->take(p->ctx, p->name, p->value, line, p->err);
    close_name(p, outside);
    return status;
}

static enum emd_status statement(struct parser *p)
{
    bool off = false;
    if (*p->at == '}') {
        if (p->depth == 0)
            return fail(p, "'}' closes nothing");
        if (p->disabled == p->depth)
            p->disabled = 0;
        close_name(p, p->outer[--p->depth]);
        p->at++;
        return EMD_OK;
    }
    if (*p->at == '!') {
        off = true;
        p->at++;
    }
    const char *name = p->at;
    while (p->at < p->end && is_name(*p->at))
        p->at++;
    const size_t n = (size_t)(p->at - name);
    if (n == 0)
        return fail(p, "a name was expected");
    if (n == 7 && memcmp(name, "include", 7) == 0)
        return fail(p, "'include' is not supported");
    while (p->at < p->end && is_blank(*p->at))
        p->at++;
    /* Attributes of a scope stand before its brace, each in a line of its own or not. */
    const bool attribute = *name == '.';
    if (p->at < p->end && *p->at == '!') {
        off = true;
        p->at++;
    }
    if (p->at < p->end && *p->at == '=') {
        p->at++;
        return define(p, name, n, off);
    }
    if (attribute)
        return fail(p, "'=' was expected");
    /* "scope", and its brace in this line or another; attributes may stand between them. */
    for (;;) {
        skip_space(p);
        if (p->at < p->end && *p->at == '{')
            return open_scope(p, name, n, off);
        if (p->at >= p->end || *p->at != '.')
            return fail(p, "'=' or '{' was expected");
        enum emd_status status = statement(p);
        if (status != EMD_OK)
            return status;
    }
}

enum emd_status emd_phil_parse(const char *text, size_t length, emd_phil_take *take, void *ctx,
                               struct emd_error *err)
{
    struct parser p = {
        .at = text, .end = text + length, .line = 1, .take = take, .ctx = ctx, .err = err};
    enum emd_status status = EMD_OK;
    for (skip_space(&p); p.at < p.end && status == EMD_OK; skip_space(&p))
        status = statement(&p);
    if (status == EMD_OK && p.depth > 0)
        status = fail(&p, "a '{' is not closed");
    return status;
}

/* How well 'name' abbreviates 'full': 4 it is the whole name, 3 its last components, 2 it begins at
 * a component, 1 it is somewhere within, 0 not at all. */
static int score(const char *name, size_t n, const char *full)
{
    const size_t m = strlen(full);
    int best = 0;
    for (size_t i = 0; i + n <= m; i++) {
        if (memcmp(full + i, name, n) != 0)
            continue;
        const bool begins = i == 0 || full[i - 1] == '.', ends = i + n == m;
        const int this = begins && ends ? (i == 0 ? 4 : 3) : begins ? 2 : 1;
        best = this > best ? this : best;
    }
    return best;
}

int emd_phil_find(const char *name, size_t n, const char *const names[], size_t count,
                  struct emd_error *err)
{
    int best = 0, found = -1;
    size_t equal = 0;
    char list[200] = "", text[EMD_PHIL_NAME];
    for (size_t i = 0; i < count && n > 0; i++) {
        const int s = score(name, n, names[i]);
        if (s > best) {
            best = s;
            equal = 0;
        }
        if (s == best && s > 0) {
            const size_t used = equal++ ? strlen(list) : 0;
            snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", names[i]);
            found = (int)i;
        }
    }
    if (equal == 1)
        return found;
    snprintf(text, sizeof text, "%.*s", n < sizeof text ? (int)n : (int)sizeof text - 1, name);
    const char *near = equal ? NULL : emd_nearest(text, names, count);
    if (equal)
        emd_fail(err, EMD_E_ARGUMENT, "%s: ambiguous: %s", text, list);
    else
        emd_fail(err, EMD_E_ARGUMENT, "%s: unknown parameter%s%s%s", text,
                 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return -1;
}

bool emd_phil_quote(const char *value, char *out, size_t size)
{
    size_t length = 0;
    bool plain = *value != '\0';
    for (const char *s = value; *s; s++)
        plain = plain && !is_blank(*s) && !strchr("\n;#{}\"'\\*!=", *s);
    if (plain)
        return (size_t)snprintf(out, size, "%s", value) < size;
    if (!append(out, size, &length, '"'))
        return false;
    for (const char *s = value; *s; s++)
        if (((*s == '"' || *s == '\\') && !append(out, size, &length, '\\')) ||
            !append(out, size, &length, *s))
            return false;
    return append(out, size, &length, '"');
}
