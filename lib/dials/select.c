/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See select.h. The expression becomes a tree in an array; children stand before their parents. */
#include "dials/select.h"

#include <ctype.h>
#include <fnmatch.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/nearest.h"

enum { NODES = 256, DEPTH = 64 };

enum operation {
    LESS,
    LESS_EQUAL,
    GREATER,
    GREATER_EQUAL,
    EQUAL,
    UNEQUAL,
    LIKE,
    UNLIKE,
    NOT,
    AND,
    OR
};

struct node {
    enum operation op;
    size_t left, right; /* of NOT (left only), AND, OR */
    size_t column;
    double number;
    char *text;
    size_t begin, end; /* in the expression */
};

struct emd_select {
    char *expression;
    struct node node[NODES];
    size_t count, root;
    const struct emd_select_column *columns;
};

struct parser {
    const char *start, *at;
    struct emd_select *select;
    size_t column_count;
    int depth;
    struct emd_error *err;
};

static enum emd_status parse_or(struct parser *p, size_t *root);

static void skip_blanks(struct parser *p)
{
    while (isspace((unsigned char)*p->at))
        p->at++;
}

static enum emd_status fail(const struct parser *p, const char *what)
{
    return *p->at ? emd_fail(p->err, EMD_E_ARGUMENT, "%s at '%.40s'", what, p->at)
                  : emd_fail(p->err, EMD_E_ARGUMENT, "%s at the end", what);
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* True, and behind it, if the keyword is next. */
static bool keyword(struct parser *p, const char *word)
{
    const size_t n = strlen(word);
    skip_blanks(p);
    if (strncasecmp(p->at, word, n) != 0 || is_word(p->at[n]))
        return false;
    p->at += n;
    return true;
}

static enum emd_status add(struct parser *p, struct node node, size_t *index)
{
    struct emd_select *s = p->select;
    if (s->count == NODES) {
        free(node.text);
        return emd_fail(p->err, EMD_E_ARGUMENT, "the expression is too long");
    }
    *index = s->count;
    s->node[s->count++] = node;
    return EMD_OK;
}

static enum emd_status parse_column(struct parser *p, size_t *column)
{
    char name[64];
    size_t n = 0;
    skip_blanks(p);
    while (is_word(p->at[n]))
        n++;
    if (n == 0)
        return fail(p, "a column was expected");
    snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name - 1, p->at);
    for (*column = 0; *column < p->column_count; ++*column)
        if (strcmp(p->select->columns[*column].name, name) == 0) {
            p->at += n;
            return EMD_OK;
        }
    const char **names = calloc(p->column_count + 1, sizeof *names);
    for (size_t i = 0; names && i < p->column_count; i++)
        names[i] = p->select->columns[i].name;
    const char *near = names ? emd_nearest(name, names, p->column_count) : NULL;
    free(names);
    return near ? emd_fail(p->err, EMD_E_ARGUMENT, "no column '%s'; did you mean '%s'?", name, near)
                : emd_fail(p->err, EMD_E_ARGUMENT, "no column '%s'", name);
}

static enum emd_status parse_operator(struct parser *p, enum operation *op)
{
    static const struct {
        const char *text;
        enum operation op;
    } operators[] = {{"<=", LESS_EQUAL}, {">=", GREATER_EQUAL}, {"==", EQUAL},
                     {"!=", UNEQUAL},    {"!~", UNLIKE},        {"<", LESS},
                     {">", GREATER},     {"=", EQUAL},          {"~", LIKE}};
    skip_blanks(p);
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        const size_t n = strlen(operators[i].text);
        if (strncmp(p->at, operators[i].text, n) == 0) {
            p->at += n;
            *op = operators[i].op;
            return EMD_OK;
        }
    }
    return fail(p, "one of < <= > >= = != ~ !~ was expected");
}

/* A number, whatever the locale, that ends where a word would. */
static bool read_number(struct parser *p, double *value)
{
    static locale_t c_locale;
    char *end;
    if (!c_locale)
        c_locale = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    if (!c_locale || isalpha((unsigned char)*p->at))
        return false;
    *value = strtod_l(p->at, &end, c_locale);
    if (end == p->at || is_word(*end) || !isfinite(*value))
        return false;
    p->at = end;
    return true;
}

static enum emd_status parse_value(struct parser *p, struct node *node)
{
    const struct emd_select_column *column = &p->select->columns[node->column];
    skip_blanks(p);
    if (column->number) {
        if (node->op >= LIKE)
            return emd_fail(p->err, EMD_E_ARGUMENT, "%s is a number: ~ is for texts", column->name);
        return read_number(p, &node->number) ? EMD_OK : fail(p, "a number was expected");
    }
    if (node->op < EQUAL)
        return emd_fail(p->err, EMD_E_ARGUMENT, "%s is a text: = != ~ !~ are for texts",
                        column->name);
    const char *from = p->at;
    size_t n = 0;
    if (*from == '"' || *from == '\'') {
        const char *end = strchr(from + 1, *from);
        if (!end)
            return fail(p, "a quote is not closed");
        n = (size_t)(end - ++from);
        p->at = end + 1;
    } else {
        while (from[n] && !isspace((unsigned char)from[n]) && from[n] != '(' && from[n] != ')')
            n++;
        if (n == 0)
            return fail(p, "a value was expected");
        p->at += n;
    }
    node->text = strndup(from, n);
    return node->text ? EMD_OK : emd_fail(p->err, EMD_E_MEMORY, "out of memory");
}

static size_t position(const struct parser *p)
{
    return (size_t)(p->at - p->start);
}

static enum emd_status parse_not(struct parser *p, size_t *root)
{
    enum emd_status status;
    struct node node = {.op = NOT};
    if (++p->depth > DEPTH) /* stays there: the parsing has failed */
        return emd_fail(p->err, EMD_E_ARGUMENT, "too many parentheses");
    skip_blanks(p);
    node.begin = position(p);
    if (keyword(p, "not") || (*p->at == '!' && p->at[1] != '=' && p->at[1] != '~' && p->at++)) {
        status = parse_not(p, &node.left);
        node.end = position(p);
        if (status == EMD_OK)
            status = add(p, node, root);
    } else if (*p->at == '(') {
        p->at++;
        status = parse_or(p, root);
        skip_blanks(p);
        if (status == EMD_OK && *p->at != ')')
            status = fail(p, "')' was expected");
        else if (status == EMD_OK)
            p->at++;
    } else {
        status = parse_column(p, &node.column);
        if (status == EMD_OK)
            status = parse_operator(p, &node.op);
        if (status == EMD_OK)
            status = parse_value(p, &node);
        node.end = position(p);
        if (status == EMD_OK)
            status = add(p, node, root);
    }
    p->depth--;
    return status;
}

static enum emd_status parse_and(struct parser *p, size_t *root)
{
    skip_blanks(p);
    const size_t begin = position(p);
    enum emd_status status = parse_not(p, root);
    while (status == EMD_OK && keyword(p, "and")) {
        struct node node = {.op = AND, .left = *root, .begin = begin};
        status = parse_not(p, &node.right);
        node.end = position(p);
        if (status == EMD_OK)
            status = add(p, node, root);
    }
    return status;
}

static enum emd_status parse_or(struct parser *p, size_t *root)
{
    skip_blanks(p);
    const size_t begin = position(p);
    enum emd_status status = parse_and(p, root);
    while (status == EMD_OK && keyword(p, "or")) {
        struct node node = {.op = OR, .left = *root, .begin = begin};
        status = parse_and(p, &node.right);
        node.end = position(p);
        if (status == EMD_OK)
            status = add(p, node, root);
    }
    return status;
}

enum emd_status emd_select_parse(const char *text, const struct emd_select_column columns[],
                                 size_t count, struct emd_select **out, struct emd_error *err)
{
    struct emd_select *select = calloc(1, sizeof *select);
    *out = NULL;
    if (!select || !(select->expression = strdup(text))) {
        free(select);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    select->columns = columns;
    struct parser p = {
        .start = text, .at = text, .select = select, .column_count = count, .err = err};
    enum emd_status status = parse_or(&p, &select->root);
    skip_blanks(&p);
    if (status == EMD_OK && *p.at)
        status = fail(&p, "'and' or 'or' was expected");
    if (status != EMD_OK) {
        emd_select_free(select);
        return status;
    }
    *out = select;
    return EMD_OK;
}

void emd_select_free(struct emd_select *select)
{
    if (!select)
        return;
    for (size_t i = 0; i < select->count; i++)
        free(select->node[i].text);
    free(select->expression);
    free(select);
}

bool emd_select_uses(const struct emd_select *select, size_t column)
{
    for (size_t i = 0; i < select->count; i++)
        if (select->node[i].op < NOT && select->node[i].column == column)
            return true;
    return false;
}

static bool compare(const struct node *node, const struct emd_select *select,
                    const struct emd_select_row *row)
{
    if (!select->columns[node->column].number) {
        const char *text = row->text(row->ctx, node->column);
        if (text[0] == '\0')
            return false;
        const bool same = node->op == EQUAL || node->op == UNEQUAL
                              ? strcmp(text, node->text) == 0
                              : fnmatch(node->text, text, 0) == 0;
        return same == (node->op == EQUAL || node->op == LIKE);
    }
    const double x = row->number(row->ctx, node->column), y = node->number;
    if (isnan(x))
        return false;
    switch (node->op) {
    case LESS:
        return x < y;
    case LESS_EQUAL:
        return x <= y;
    case GREATER:
        return x > y;
    case GREATER_EQUAL:
        return x >= y;
    case EQUAL:
        return x == y;
    default:
        return x != y;
    }
}

/* The value of each node for the row. */
static void evaluate(const struct emd_select *select, const struct emd_select_row *row,
                     bool value[NODES])
{
    for (size_t i = 0; i < select->count; i++) {
        const struct node *node = &select->node[i];
        switch (node->op) {
        case NOT:
            value[i] = !value[node->left];
            break;
        case AND:
            value[i] = value[node->left] && value[node->right];
            break;
        case OR:
            value[i] = value[node->left] || value[node->right];
            break;
        default:
            value[i] = compare(node, select, row);
        }
    }
}

bool emd_select_matches(const struct emd_select *select, const struct emd_select_row *row)
{
    bool value[NODES];
    evaluate(select, row, value);
    return select->count > 0 && value[select->root];
}

void emd_select_unmet(const struct emd_select *select, const struct emd_select_row *row,
                      char text[static 256])
{
    bool value[NODES];
    text[0] = '\0';
    evaluate(select, row, value);
    if (select->count == 0 || value[select->root])
        return;
    const struct node *node = &select->node[select->root];
    while (node->op == AND) /* the first of its parts that does not hold */
        node = &select->node[value[node->left] ? node->right : node->left];
    const char *part = select->expression + node->begin;
    const int length = (int)(node->end - node->begin < 100 ? node->end - node->begin : 100);
    if (node->op >= NOT) {
        snprintf(text, 256, "required: %.*s", length, part);
        return;
    }
    const struct emd_select_column *column = &select->columns[node->column];
    const double x = column->number ? row->number(row->ctx, node->column) : 0;
    const char *word = column->number ? "" : row->text(row->ctx, node->column);
    if (column->number ? isnan(x) : word[0] == '\0')
        snprintf(text, 256, "no %s; required: %.*s", column->name, length, part);
    else if (column->number)
        snprintf(text, 256, "%s %.4g; required: %.*s", column->name, x, length, part);
    else
        snprintf(text, 256, "%s %.100s; required: %.*s", column->name, word, length, part);
}
