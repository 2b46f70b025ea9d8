/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "common/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "common/message.h"

/* getopt's values: letters stay below, and tell themselves apart from long options. */
enum { OPT_FIRST = 256, MOST = 96 };

static const struct emd_option help_option = {'h', "help", .kind = EMD_OPTION_FLAG,
                                              .help = "print this help and exit"};
static const struct emd_option version_option = {'V', "version", .kind = EMD_OPTION_FLAG,
                                                 .help = "print the version and exit"};

/* --- help -------------------------------------------------------------------------------------*/

void emd_options_wrap(const char *text, size_t indent)
{
    size_t column = indent;
    for (const char *p = text; *p;) {
        const size_t n = strcspn(p, " \n");
        if (column > indent && column + 1 + n > EMD_HELP_COLUMNS) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent && n > 0) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)n, p);
        column += n;
        p += n;
        if (*p == '\n') {
            printf("\n%*s", p[1] && p[1] != '\n' ? (int)indent : 0, "");
            column = indent;
        }
        p += *p != '\0';
    }
    putchar('\n');
}

/* "  -c, --codec NAME[:LEVEL]" */
static int left_of(const struct emd_option *o, char text[80])
{
    const char *value = o->value ? o->value : "";
    int n = o->letter ? snprintf(text, 80, "  -%c", o->letter) : snprintf(text, 80, "    ");
    if (o->name)
        n += snprintf(text + n, (size_t)(80 - n), "%s--%.40s", o->letter ? ", " : "  ", o->name);
    if (*value)
        n += snprintf(text + n, (size_t)(80 - n), "%s%.24s", *value == '[' ? "[=" : " ",
                      value + (*value == '['));
    return n;
}

static void print_option(const struct emd_option *o, size_t indent)
{
    char left[80];
    if (o->kind == EMD_OPTION_TITLE) {
        printf("\n%s:\n", o->help);
        return;
    }
    if (!o->help)
        return;
    const size_t n = (size_t)left_of(o, left);
    printf("%s%*s", left, n + 2 > indent ? 0 : (int)(indent - n), "");
    if (n + 2 > indent)
        printf("\n%*s", (int)indent, "");
    emd_options_wrap(o->help, indent);
}

static void print_exits(const struct emd_program *program)
{
    static const char *const usual[] = {"done", "failed", "wrong usage", NULL};
    char text[512];
    int n = snprintf(text, sizeof text, "Exit status:");
    for (int i = 0; i < 4; i++) {
        const char *means = program->exits[i] ? program->exits[i] : usual[i];
        if (means)
            n += snprintf(text + n, sizeof text - (size_t)n, "%s %d %s", i ? "," : "", i, means);
    }
    snprintf(text + n, sizeof text - (size_t)n, ".");
    emd_options_wrap(text, 0);
}

static void print_help(const struct emd_program *program)
{
    const char *line = program->usage;
    for (const char *first = "Usage:"; *line; first = "      ") {
        const size_t n = strcspn(line, "\n");
        if (*line == ' ')
            printf("%.*s\n", (int)n, line);
        else
            printf("%s %s %.*s\n", first, program->name, (int)n, line);
        line += n + (line[n] == '\n');
    }
    emd_options_wrap(program->about, 0);
    size_t indent = 0;
    for (size_t i = 0; i < program->option_count; i++) {
        char left[80];
        const struct emd_option *o = &program->options[i];
        const size_t n = o->kind == EMD_OPTION_TITLE || !o->help ? 0 : (size_t)left_of(o, left) + 2;
        if (n > indent && n <= 30)
            indent = n;
    }
    if (program->options[0].kind != EMD_OPTION_TITLE)
        putchar('\n');
    for (size_t i = 0; i < program->option_count; i++)
        print_option(&program->options[i], indent);
    print_option(&help_option, indent);
    print_option(&version_option, indent);
    if (program->more_help)
        program->more_help();
    putchar('\n');
    if (program->notes)
        emd_options_wrap(program->notes, 0);
    print_exits(program);
}

/* --- what cannot be read ----------------------------------------------------------------------*/

/* "none, chunk or file" of "none|chunk|file" */
static void list_words(const char *words, char *text, size_t size)
{
    size_t used = 0;
    for (const char *p = words; *p && used < size;) {
        const size_t n = strcspn(p, "|");
        const char *joint = p == words ? "" : strchr(p, '|') ? ", " : " or ";
        used += (size_t)snprintf(text + used, size - used, "%s%.*s", joint, (int)n, p);
        p += n + (p[n] == '|');
    }
}

static enum emd_status no_word(const char *text, const char *words, struct emd_error *err)
{
    char list[256], copy[256], *rest = copy;
    const char *names[32];
    size_t count = 0;
    list_words(words, list, sizeof list);
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word; count < 32 && (word = strsep(&rest, "|")) != NULL;)
        names[count++] = word;
    const char *near = emd_nearest(text, names, count);
    return near ? emd_fail(err, EMD_E_ARGUMENT, "not %s; did you mean '%s'?", list, near)
                : emd_fail(err, EMD_E_ARGUMENT, "not %s", list);
}

enum emd_status emd_options_word(const char *text, const char *words, int *index,
                                 struct emd_error *err)
{
    *index = 0;
    for (const char *p = words;; (*index)++) {
        const size_t n = strcspn(p, "|");
        if (strlen(text) == n && strncmp(p, text, n) == 0)
            return EMD_OK;
        if (p[n] == '\0')
            return no_word(text, words, err);
        p += n + 1;
    }
}

/* How the user knows the option: "--threads", or "-D" where there is no long name. */
static const char *called(const struct emd_option *o, char text[72])
{
    if (o->name)
        snprintf(text, 72, "--%.60s", o->name);
    else
        snprintf(text, 72, "-%c", o->letter);
    return text;
}

static size_t all_names(const struct emd_program *program, const char *names[MOST])
{
    size_t count = 0;
    for (size_t i = 0; i < program->option_count; i++)
        if (program->options[i].name)
            names[count++] = program->options[i].name;
    names[count++] = help_option.name;
    names[count++] = version_option.name;
    return count;
}

/* The argument is the beginning of several options, or of none. */
static int unknown_long(const struct emd_program *program, const char *argument)
{
    const char *names[MOST];
    const size_t count = all_names(program, names), n = strcspn(argument, "=");
    char text[80], list[400];
    size_t matches = 0, used = 0;
    snprintf(text, sizeof text, "%.*s", (int)(n < 79 ? n : 79), argument);
    for (size_t i = 0; i < count && n > 2; i++)
        if (strncmp(names[i], argument + 2, n - 2) == 0 && used < sizeof list) {
            used += (size_t)snprintf(list + used, sizeof list - used, "%s'--%s'",
                                     matches ? ", " : "", names[i]);
            matches++;
        }
    if (matches > 1)
        return emd_usage_error("option '%s' is ambiguous: %s", text, list);
    const char *near = n > 2 ? emd_nearest(text + 2, names, count) : NULL;
    return near ? emd_usage_error("unknown option '%s'; did you mean '--%s'?", text, near)
                : emd_usage_error("unknown option '%s'", text);
}

/* --- reading ----------------------------------------------------------------------------------*/

static enum emd_status read_value(const struct emd_option *o, const char *value, void *into,
                                  struct emd_error *err)
{
    void *field = (char *)into + o->at;
    const bool yes = o->kind == EMD_OPTION_FLAG;
    long whole;
    double number;
    size_t bytes;
    int index = o->number;
    enum emd_status status = EMD_OK;
    switch (o->kind) {
    case EMD_OPTION_FLAG:
    case EMD_OPTION_CLEAR:
        memcpy(field, &yes, sizeof yes);
        break;
    case EMD_OPTION_CHOICE:
        index = 0;
        status = value ? emd_options_word(value, o->words, &index, err) : EMD_OK;
        if (status == EMD_OK)
            memcpy(field, &index, sizeof index);
        break;
    case EMD_OPTION_SET:
        memcpy(field, &index, sizeof index);
        break;
    case EMD_OPTION_TEXT:
        memcpy(field, &value, sizeof value);
        break;
    case EMD_OPTION_LONG:
    case EMD_OPTION_COUNT:
        if (!emd_parse_long(value, (long)o->low, (long)o->high, &whole))
            return emd_fail(err, EMD_E_ARGUMENT, "not a whole number from %.10g to %.10g", o->low,
                            o->high);
        bytes = (size_t)whole;
        memcpy(field, o->kind == EMD_OPTION_LONG ? (void *)&whole : (void *)&bytes, sizeof whole);
        break;
    case EMD_OPTION_DOUBLE:
        if (!emd_parse_double(value, o->low, o->high, &number))
            return emd_fail(err, EMD_E_ARGUMENT, "not a number from %.10g to %.10g", o->low,
                            o->high);
        memcpy(field, &number, sizeof number);
        break;
    case EMD_OPTION_SIZE:
        if (!emd_parse_size(value, &bytes) || bytes == 0)
            return emd_fail(err, EMD_E_ARGUMENT, "not a size such as 512M or 2G");
        memcpy(field, &bytes, sizeof bytes);
        break;
    case EMD_OPTION_CALL:
        return o->take(into, o, value, err);
    case EMD_OPTION_TITLE:
        break;
    }
    return status;
}

static int take_option(const struct emd_option *o, const char *value, void *into)
{
    struct emd_error err = {EMD_OK, ""};
    char name[72];
    const enum emd_status status = read_value(o, value, into, &err);
    if (status == EMD_OK)
        return -1;
    called(o, name);
    const char *joint = !value ? "" : *o->value == '[' ? "=" : " ";
    value = value ? value : "";
    if (status == EMD_E_ARGUMENT)
        return emd_usage_error("%s%s%s: %s", name, joint, value, err.text);
    emd_message_error("%s%s%s: %s", name, joint, value, err.text);
    return (int)emd_exit_for(status);
}

/* getopt's value of an option that it recognised. */
static const struct emd_option *find_option(const struct emd_program *program, int code)
{
    if (code >= OPT_FIRST)
        return (size_t)(code - OPT_FIRST) < program->option_count
                   ? &program->options[code - OPT_FIRST]
                   : NULL;
    for (size_t i = 0; i < program->option_count; i++)
        if (program->options[i].kind != EMD_OPTION_TITLE && program->options[i].letter == code)
            return &program->options[i];
    return NULL;
}

/* What getopt complains about: ':' or '?', and optopt. */
static int complain(const struct emd_program *program, int code, const char *argument)
{
    const struct emd_option *o = find_option(program, optopt);
    char name[72];
    if (code == ':' && o)
        return emd_usage_error("option '%s' needs a value: %s", called(o, name), o->value);
    if (optopt >= OPT_FIRST || optopt == 'h' || optopt == 'V')
        return emd_usage_error("option '%.*s' takes no value", (int)strcspn(argument, "="),
                               argument);
    if (optopt != 0)
        return emd_usage_error("unknown option '-%c'", optopt);
    return unknown_long(program, argument);
}

int emd_options_parse(const struct emd_program *program, int argc, char **argv, void *into)
{
    static const char hidden[] = "--completions=";
    struct option longs[MOST] = {{0}};
    char letters[2 * MOST + 8] = ":hV";
    size_t count = 0, used = strlen(letters);
    int code, result = -1;
    if (argc == 2 && strncmp(argv[1], hidden, strlen(hidden)) == 0) {
        const char *shell = argv[1] + strlen(hidden);
        if (emd_options_complete(program, shell))
            return EMD_EXIT_OK;
        return emd_usage_error("--completions %s: not bash, zsh or fish", shell);
    }
    for (size_t i = 0; i < program->option_count && count + 3 < MOST; i++) {
        const struct emd_option *o = &program->options[i];
        const int has = !o->value          ? no_argument
                        : *o->value == '[' ? optional_argument
                                           : required_argument;
        if (o->kind == EMD_OPTION_TITLE)
            continue;
        if (o->name)
            longs[count++] = (struct option){o->name, has, NULL, OPT_FIRST + (int)i};
        if (o->letter) {
            letters[used++] = o->letter;
            for (int k = 0; k < has; k++)
                letters[used++] = ':';
        }
    }
    letters[used] = '\0';
    longs[count++] = (struct option){help_option.name, no_argument, NULL, 'h'};
    longs[count++] = (struct option){version_option.name, no_argument, NULL, 'V'};
    opterr = 0;
    while (result < 0 && (code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        const struct emd_option *o = find_option(program, code);
        if (o) {
            result = take_option(o, optarg, into);
        } else if (code == 'h') {
            print_help(program);
            result = EMD_EXIT_OK;
        } else if (code == 'V') {
            emd_print_version();
            result = EMD_EXIT_OK;
        } else {
            result = complain(program, code, argv[optind > 1 ? optind - 1 : 1]);
        }
    }
    return result;
}
