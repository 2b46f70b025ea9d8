/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* See mergetable.h.
 *
 * dials.scale prints its table with fixed widths but at least two blanks between the values, so it
 * is read token by token. A value that does not exist is printed as "None", or, for r_anom before
 * DIALS 3.13, as nothing at all: the row is then one token short and r_anom is the one that is
 * missing (iotbx.merging_statistics, merging_stats.format).
 *
 * Exact shell limits: scaled.json has the middle x_i of every shell in 1/d^2, from which the edges
 * follow as e_(i+1) = 2 x_i - e_i once one edge is known. Every edge that the log prints, rounded
 * to 0.01 Angstrom, confines that one unknown; the low-resolution edges do so to about 1e-5. */
#include "dials/mergetable.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dials/jsonscan.h"

static const char *const column_names[EMD_SHELL_COLUMNS] = {
    [EMD_SHELL_D_MAX] = "d_max",        [EMD_SHELL_D_MIN] = "d_min",
    [EMD_SHELL_OBSERVATIONS] = "#obs",  [EMD_SHELL_UNIQUE] = "#uniq",
    [EMD_SHELL_MULTIPLICITY] = "mult.", [EMD_SHELL_COMPLETENESS] = "%comp",
    [EMD_SHELL_I_MEAN] = "<I>",         [EMD_SHELL_I_SIGMA] = "<I/sI>",
    [EMD_SHELL_R_MERGE] = "r_mrg",      [EMD_SHELL_R_MEAS] = "r_meas",
    [EMD_SHELL_R_PIM] = "r_pim",        [EMD_SHELL_R_ANOM] = "r_anom",
    [EMD_SHELL_R_SPLIT] = "r_splt",     [EMD_SHELL_CC_HALF] = "cc1/2",
    [EMD_SHELL_CC_ANOM] = "cc_ano",
};

/* More columns than any version prints (15), so that a new one does not break the reading. */
enum { COLUMNS_MAX = 40 };

/* DIALS makes 20 shells unless told otherwise; a bound for the work on a table. */
enum { SHELLS_MAX = 1000 };

struct header {
    size_t count;
    enum emd_shell_column column[COLUMNS_MAX]; /* EMD_SHELL_COLUMNS where the name is new */
};

struct token {
    const char *at;
    size_t length;
};

/* Splits a line at blanks; returns the number of tokens, at most 'max' of which are stored. */
static size_t split(const char *line, const char *end, struct token tokens[], size_t max)
{
    size_t count = 0;
    while (line < end) {
        while (line < end && (*line == ' ' || *line == '\t' || *line == '\r'))
            line++;
        const char *start = line;
        while (line < end && *line != ' ' && *line != '\t' && *line != '\r')
            line++;
        if (line > start) {
            if (count < max)
                tokens[count] = (struct token){start, (size_t)(line - start)};
            count++;
        }
    }
    return count;
}

static const char *line_end(const char *p, const char *end)
{
    const char *newline = memchr(p, '\n', (size_t)(end - p));
    return newline ? newline : end;
}

static bool parse_header(const char *line, const char *end, struct header *header)
{
    struct token tokens[COLUMNS_MAX];
    size_t count = split(line, end, tokens, COLUMNS_MAX);
    bool seen[EMD_SHELL_COLUMNS + 1] = {false};
    if (count > COLUMNS_MAX)
        return false;
    header->count = count;
    for (size_t i = 0; i < count; i++) {
        enum emd_shell_column c = 0;
        while (c < EMD_SHELL_COLUMNS &&
               (strlen(column_names[c]) != tokens[i].length ||
                memcmp(column_names[c], tokens[i].at, tokens[i].length) != 0))
            c++;
        header->column[i] = c;
        seen[c] = true;
    }
    return seen[EMD_SHELL_D_MAX] && seen[EMD_SHELL_D_MIN] && seen[EMD_SHELL_CC_HALF];
}

/* A number with an optional "*"; NaN where the value is missing ("None", "nan", "-"). */
static double token_value(struct token token, bool *starred)
{
    char text[32];
    *starred = token.length > 0 && token.at[token.length - 1] == '*';
    size_t length = token.length - *starred;
    if (length == 0 || length >= sizeof text)
        return NAN;
    memcpy(text, token.at, length);
    text[length] = '\0';
    if (strspn(text, "+-.0123456789eE") != length)
        return NAN;
    char *rest;
    double value = strtod(text, &rest);
    return *rest == '\0' ? value : NAN;
}

static void clear_shell(struct emd_shell *shell)
{
    for (int c = 0; c < EMD_SHELL_COLUMNS; c++)
        shell->value[c] = NAN;
    shell->significant = false;
    shell->pairs = NAN;
}

/* False if the line is no row of the table. */
static bool parse_row(const char *line, const char *end, const struct header *header,
                      struct emd_shell *shell)
{
    struct token tokens[COLUMNS_MAX];
    size_t count = split(line, end, tokens, COLUMNS_MAX);
    size_t skipped = COLUMNS_MAX;
    if (count + 1 == header->count) {
        for (size_t i = 0; i < header->count; i++)
            if (header->column[i] == EMD_SHELL_R_ANOM)
                skipped = i;
        if (skipped == COLUMNS_MAX)
            return false;
    } else if (count != header->count) {
        return false;
    }
    clear_shell(shell);
    size_t t = 0;
    for (size_t i = 0; i < header->count; i++) {
        if (i == skipped)
            continue;
        bool starred;
        double value = token_value(tokens[t++], &starred);
        if (header->column[i] == EMD_SHELL_COLUMNS)
            continue;
        shell->value[header->column[i]] = value;
        if (header->column[i] == EMD_SHELL_CC_HALF)
            shell->significant = starred;
    }
    return shell->value[EMD_SHELL_D_MIN] > 0 && shell->value[EMD_SHELL_D_MAX] > 0;
}

/* The line after the last table header in the text, NULL if there is none. */
static const char *find_rows(const char *text, const char *end, struct header *header)
{
    static const char key[] = "d_max";
    const char *rows = NULL;
    for (const char *p = text; p < end;) {
        const char *hit = memmem(p, (size_t)(end - p), key, sizeof key - 1);
        if (!hit)
            break;
        const char *start = hit;
        while (start > text && start[-1] != '\n')
            start--;
        const char *stop = line_end(hit, end);
        struct header found;
        if (parse_header(start, stop, &found)) {
            *header = found;
            rows = stop < end ? stop + 1 : end;
        }
        p = stop < end ? stop + 1 : end;
    }
    return rows;
}

static double parse_suggested(const char *text, const char *end)
{
    /* "Resolution limit suggested from CC1/2 fit (limit CC1/2=0.3): 0.83", one half as U+00BD */
    static const char key[] = "Resolution limit suggested from CC";
    const char *hit = memmem(text, (size_t)(end - text), key, sizeof key - 1);
    if (!hit)
        return NAN;
    const char *stop = line_end(hit, end);
    const char *colon = memrchr(hit, ':', (size_t)(stop - hit));
    struct token token;
    bool starred;
    if (!colon || split(colon + 1, stop, &token, 1) != 1)
        return NAN;
    return token_value(token, &starred);
}

/* Table limits are printed with two decimals. */
static bool same_limit(double a, double b)
{
    return fabs(a - b) < 0.011;
}

enum emd_status emd_merge_table_parse(const char *text, size_t length,
                                      struct emd_merge_table *table, struct emd_error *err)
{
    const char *const end = text + length;
    struct header header = {.count = 0};
    *table = (struct emd_merge_table){.suggested = NAN};
    clear_shell(&table->overall);
    const char *p = length > 0 ? find_rows(text, end, &header) : NULL;
    if (!p)
        return emd_fail(err, EMD_E_EMPTY, "no merging statistics");
    const char *const first_row = p;
    size_t capacity = 0;
    while (p < end && table->count <= SHELLS_MAX) {
        const char *stop = line_end(p, end);
        struct emd_shell shell;
        if (!parse_row(p, stop, &header, &shell))
            break;
        if (table->count == capacity) {
            size_t larger = capacity ? capacity * 2 : 24;
            struct emd_shell *shells = realloc(table->shells, larger * sizeof *shells);
            if (!shells) {
                emd_merge_table_free(table);
                return emd_fail(err, EMD_E_MEMORY, "no memory for the merging statistics");
            }
            table->shells = shells;
            capacity = larger;
        }
        table->shells[table->count++] = shell;
        p = stop < end ? stop + 1 : end;
    }
    if (table->count >= 2) {
        const struct emd_shell *last = &table->shells[table->count - 1];
        if (same_limit(last->value[EMD_SHELL_D_MAX], table->shells[0].value[EMD_SHELL_D_MAX]) &&
            same_limit(last->value[EMD_SHELL_D_MIN], last[-1].value[EMD_SHELL_D_MIN])) {
            table->overall = *last;
            table->has_overall = true;
            table->count--;
        }
    }
    if (table->count == 0) {
        emd_merge_table_free(table);
        return emd_fail(err, EMD_E_EMPTY, "the table of merging statistics has no rows");
    }
    table->suggested = parse_suggested(first_row, end);
    return EMD_OK;
}

void emd_merge_table_free(struct emd_merge_table *table)
{
    free(table->shells);
    table->shells = NULL;
    table->count = 0;
}

/* Continued fraction of the incomplete beta function (NIST DLMF 8.17.22) by Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double h = d;
    for (int m = 1; m <= 500; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        for (int half = 0; half < 2; half++) {
            double k = half ? odd : even;
            d = 1 + k * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + k / c;
            c = fabs(c) < tiny ? tiny : c;
            h *= c * d;
        }
        if (fabs(c * d - 1) < 1e-14)
            break;
    }
    return h;
}

/* One-sided probability that n uncorrelated pairs give a coefficient above r > 0:
 * I_(1-r^2)((n - 2)/2, 1/2) / 2, the tail of Student's t (NIST DLMF 8.17). */
static double chance_of(double r, double n)
{
    double a = (n - 2) / 2, b = 0.5, x = 1 - r * r;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a / 2;
    return (1 - front * beta_fraction(b, a, 1 - x) / b) / 2;
}

double emd_pairs_from_critical(double critical, double p)
{
    double low = 3, high = 1e7;
    if (!(critical > 0 && critical < 1 && p > 0 && p < 0.5) || chance_of(critical, low) < 0.9 * p ||
        chance_of(critical, high) > p)
        return NAN;
    while (high - low > 0.25) {
        double middle = (low + high) / 2;
        if (chance_of(critical, middle) > p)
            low = middle;
        else
            high = middle;
    }
    return nearbyint((low + high) / 2);
}

/* What scaled.json says of the shells, from low to high resolution. */
struct plots {
    size_t capacity;
    double *middle, *cc, *critical; /* of 'capacity' each */
    size_t middles, ccs, criticals; /* how many were read */
    double level;                   /* significance level of the critical values */
};

/* The list of curves: the first is CC1/2, the second its critical value. */
static void read_curves(struct emd_json *json, struct plots *plots)
{
    char key[16];
    if (!emd_json_open(json, '[')) {
        emd_json_skip(json);
        return;
    }
    for (int curve = 0; emd_json_item(json); curve++) {
        if (curve > 1 || !emd_json_open(json, '{')) {
            emd_json_skip(json);
            continue;
        }
        while (emd_json_key(json, key, sizeof key)) {
            if (strcmp(key, "x") == 0 && curve == 0)
                plots->middles = emd_json_numbers(json, plots->middle, plots->capacity);
            else if (strcmp(key, "y") == 0 && curve == 0)
                plots->ccs = emd_json_numbers(json, plots->cc, plots->capacity);
            else if (strcmp(key, "y") == 0)
                plots->criticals = emd_json_numbers(json, plots->critical, plots->capacity);
            else
                emd_json_skip(json);
        }
    }
}

/* The plots sit at the top level, or one level down under the name of a dataset. */
static void read_plots(struct emd_json *json, struct plots *plots, int depth)
{
    char key[32], inner[32];
    if (!emd_json_open(json, '{')) {
        emd_json_skip(json);
        return;
    }
    while (emd_json_key(json, key, sizeof key)) {
        if (strcmp(key, "resolution_plots") == 0 && emd_json_open(json, '{')) {
            while (emd_json_key(json, inner, sizeof inner)) {
                bool found = strcmp(inner, "cc_one_half") == 0 && emd_json_open(json, '{');
                if (!found)
                    emd_json_skip(json);
                while (found && emd_json_key(json, inner, sizeof inner)) {
                    if (strcmp(inner, "data") == 0)
                        read_curves(json, plots);
                    else
                        emd_json_skip(json);
                }
            }
        } else if (strcmp(key, "scaling_tables") == 0 && emd_json_open(json, '{')) {
            while (emd_json_key(json, inner, sizeof inner)) {
                if (strcmp(inner, "cc_half_significance_level") != 0 ||
                    !emd_json_number(json, &plots->level))
                    emd_json_skip(json);
            }
        } else if (depth == 0 && plots->middles == 0 && emd_json_peek(json) == '{' &&
                   strstr(key, "plots") == NULL && strcmp(key, "scaling_model") != 0) {
            read_plots(json, plots, depth + 1);
        } else {
            emd_json_skip(json);
        }
    }
}

/* Narrows [low, high] to the first edges (1/d^2) that give edge 'i' the printed limit 'd'. */
static void confine(double *low, double *high, double d, double sum, bool same_sign)
{
    /* Half a unit of the last printed digit. */
    double near = 1 / ((d + 0.005) * (d + 0.005)), far = 1 / ((d - 0.005) * (d - 0.005));
    double from = same_sign ? near - sum : sum - far, to = same_sign ? far - sum : sum - near;
    if (from > *low)
        *low = from;
    if (to < *high)
        *high = to;
}

/* How uneven the steps in edge^(3/2) are, as the sum of squared second differences. */
static double zigzag(const double *middle, size_t count, double edge)
{
    double sum = 0, before = 0, at = pow(edge, 1.5);
    for (size_t i = 0; i < count; i++) {
        edge = 2 * middle[i] - edge;
        double next = pow(edge, 1.5), bend = next - 2 * at + before;
        if (i > 0)
            sum += bend * bend;
        before = at;
        at = next;
    }
    return sum;
}

/* The edge of least zigzag within [low, high]; the sum is convex over so narrow a range. */
static double smoothest(const double *middle, size_t count, double low, double high)
{
    for (int i = 0; i < 100 && high - low > 1e-15; i++) {
        double a = low + (high - low) / 3, b = high - (high - low) / 3;
        if (zigzag(middle, count, a) < zigzag(middle, count, b))
            high = b;
        else
            low = a;
    }
    return (low + high) / 2;
}

/* Sets the exact limits of the shells; false if the middles contradict the log. */
static bool refine_limits(struct emd_merge_table *table, const double *middle)
{
    double low = -INFINITY, high = INFINITY;
    /* edge_i = sign * first + sum */
    double sum = 0;
    bool positive = true;
    for (size_t i = 0; i <= table->count; i++) {
        double d = i == 0 ? table->shells[0].value[EMD_SHELL_D_MAX]
                          : table->shells[i - 1].value[EMD_SHELL_D_MIN];
        if (!(d > 0.005))
            return false;
        confine(&low, &high, d, sum, positive);
        if (i < table->count) {
            sum = 2 * middle[i] - sum;
            positive = !positive;
        }
    }
    /* A hair of room for the rounding of the sums. */
    if (!(low <= high + 1e-9) || !isfinite(low) || !isfinite(high))
        return false;
    const double first = smoothest(middle, table->count, low, high);
    double edge = first;
    for (size_t i = 0; i < table->count; i++) {
        double next = 2 * middle[i] - edge;
        if (!(edge > 0 && next > edge))
            return false;
        edge = next;
    }
    edge = first;
    for (size_t i = 0; i < table->count; i++) {
        table->shells[i].value[EMD_SHELL_D_MAX] = 1 / sqrt(edge);
        edge = 2 * middle[i] - edge;
        table->shells[i].value[EMD_SHELL_D_MIN] = 1 / sqrt(edge);
    }
    return true;
}

enum emd_status emd_merge_table_refine(struct emd_merge_table *table, const char *text,
                                       size_t length, struct emd_error *err)
{
    const size_t n = table->count;
    if (n == 0 || n > SIZE_MAX / 3 / sizeof(double))
        return emd_fail(err, EMD_E_ARGUMENT, "no table to refine");
    double *numbers = malloc(3 * n * sizeof *numbers);
    if (!numbers)
        return emd_fail(err, EMD_E_MEMORY, "no memory for the merging statistics");
    enum emd_status status = EMD_OK;
    struct plots plots = {.capacity = n,
                          .middle = numbers,
                          .cc = numbers + n,
                          .critical = numbers + 2 * n,
                          .level = 0.01}; /* DIALS' own */
    struct emd_json json;
    emd_json_init(&json, text, length);
    read_plots(&json, &plots, 0);
    bool agrees = plots.middles == n && plots.ccs == n;
    for (size_t i = 0; agrees && i < n; i++) {
        double logged = table->shells[i].value[EMD_SHELL_CC_HALF];
        /* The log rounds to 0.001. */
        agrees = isfinite(plots.middle[i]) &&
                 !(fabs(logged - plots.cc[i]) > 0.00051 && isfinite(logged));
    }
    if (!agrees || !refine_limits(table, plots.middle)) {
        status = emd_fail(err, EMD_E_FORMAT,
                          "the shells of scaled.json are not those of dials.scale.log");
        goto out;
    }
    for (size_t i = 0; i < n; i++) {
        struct emd_shell *shell = &table->shells[i];
        if (isfinite(plots.cc[i]))
            shell->value[EMD_SHELL_CC_HALF] = plots.cc[i];
        if (plots.criticals == n)
            /* DIALS writes 0 where there are too few pairs (2 at most) for a critical value. */
            shell->pairs = plots.critical[i] == 0
                               ? 2
                               : emd_pairs_from_critical(plots.critical[i], plots.level);
    }
    table->exact = true;
out:
    free(numbers);
    return status;
}
