/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Completions of bash, zsh and fish from a tool's table of options. What a shell offers for a value
 * is described once (emd_option.complete) and put in the words of each of them. */
#include <stdio.h>
#include <string.h>

#include "common/options.h"

enum shell { BASH, ZSH, FISH };

static const char *const no_options = "";

/* --- descriptions -----------------------------------------------------------------------------*/

/* The part of 'complete' behind its kind, or NULL if it is of another one. */
static const char *is_kind(const char *complete, const char *kind)
{
    const size_t n = strlen(kind);
    if (!complete || strncmp(complete, kind, n) != 0 || (complete[n] != ':' && complete[n]))
        return NULL;
    return complete + n + (complete[n] == ':');
}

/* 'words' of a choice are offered like those of "words:". */
static const char *completion_of(const struct emd_option *o, char text[1024])
{
    if (o->complete || !o->words)
        return o->complete;
    snprintf(text, 1024, "words:%s", o->words);
    for (char *p = text; *p; p++)
        *p = *p == '|' ? ' ' : *p;
    return text;
}

/* The first phrase of an option's help. */
static void put_description(const char *help, enum shell shell)
{
    size_t n = strcspn(help, "\n;:");
    const char *bracket = strstr(help, " (");
    if (bracket && (size_t)(bracket - help) < n)
        n = (size_t)(bracket - help);
    for (size_t i = 0; i < n; i++) {
        if (help[i] == '\'')
            fputs(shell == ZSH ? "'\\'" : "\\", stdout);
        else if (shell == ZSH && strchr("[]\\", help[i]))
            putchar('\\');
        putchar(help[i]);
    }
}

/* "emd,h5" as "emd|h5", or whatever stands between and before them */
static void put_suffixes(const char *list, const char *before, const char *between)
{
    for (const char *p = list; *p;) {
        const size_t n = strcspn(p, ",");
        printf("%s%s%.*s", p == list ? "" : between, before, (int)n, p);
        p += n + (p[n] == ',');
    }
}

/* --- bash -------------------------------------------------------------------------------------*/

static void bash_words(const char *complete)
{
    const char *what;
    if ((what = is_kind(complete, "list"))) {
        puts("local before=\n"
             "        [[ $cur == *,* ]] && before=${cur%,*},");
        printf(
            "        mapfile -t COMPREPLY < <(compgen -P \"$before\" -W '%s' -- \"${cur##*,}\")\n"
            "        compopt -o nospace",
            what);
        return;
    }
    fputs("mapfile -t COMPREPLY < <(", stdout);
    if ((what = is_kind(complete, "words"))) {
        printf("compgen -W '%s' -- \"$cur\"", what);
    } else if ((what = is_kind(complete, "file"))) {
        if (*what) {
            fputs("compgen -d -- \"$cur\"; compgen -f -X '!*.", stdout);
            put_suffixes(what, "", "' -- \"$cur\"; compgen -f -X '!*.");
            fputs("' -- \"$cur\"", stdout);
        } else {
            fputs("compgen -f -- \"$cur\"", stdout);
        }
    } else if (is_kind(complete, "directory")) {
        fputs("compgen -d -- \"$cur\"", stdout);
    } else if (is_kind(complete, "command")) {
        fputs("compgen -c -- \"$cur\"", stdout);
    } else if ((what = is_kind(complete, "sh"))) {
        printf("compgen -W \"$(sh -c '%s' 2>/dev/null)\" -- \"$cur\"", what);
    }
    putchar(')');
}

static void bash_names(const struct emd_option *o)
{
    /* "--checksum=auto" arrives as three words; without the '=' the value is missing */
    const char *joint = "";
    if (o->letter && o->value[0] != '[') {
        printf("-%c", o->letter);
        joint = " | ";
    }
    if (o->name && o->value[0] != '[') {
        printf("%s--%s", joint, o->name);
        joint = " | ";
    }
    if (o->name)
        printf("%s--%s=", joint, o->name);
}

static void bash_function(const struct emd_program *program, const char *id)
{
    char text[1024];
    printf("# bash completion for %s, from its table of options\n"
           "_%s() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
           "    COMPREPLY=()\n"
           "    if [[ $cur == \"=\" ]]; then\n"
           "        cur= prev=$prev=\n"
           "    elif [[ $prev == \"=\" ]]; then\n"
           "        prev=${COMP_WORDS[COMP_CWORD - 2]}=\n"
           "    fi\n"
           "    case $prev in\n",
           program->name, id);
    for (size_t i = 0; i < program->option_count; i++) {
        const struct emd_option *o = &program->options[i];
        if (o->kind == EMD_OPTION_TITLE || !o->value)
            continue;
        fputs("    ", stdout);
        bash_names(o);
        fputs(")\n        ", stdout);
        const char *complete = completion_of(o, text);
        if (complete) {
            bash_words(complete);
            fputs("\n        ", stdout);
        }
        puts("return\n        ;;");
    }
    fputs("    esac\n"
          "    if [[ $cur == -* ]]; then\n"
          "        mapfile -t COMPREPLY < <(compgen -W '",
          stdout);
    for (size_t i = 0; i < program->option_count; i++)
        if (program->options[i].name)
            printf("--%s\n            ", program->options[i].name);
    puts("--help\n            --version' -- \"$cur\")\n"
         "        return\n"
         "    fi");
}

static void complete_bash(const struct emd_program *program, const char *id)
{
    bash_function(program, id);
    if (program->first) {
        /* the first operand has nothing but options before it */
        puts("    local i operands=0\n"
             "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
             "        [[ ${COMP_WORDS[i]} != -* && ${COMP_WORDS[i - 1]} != -* ]] && operands=1\n"
             "    done\n"
             "    if [[ $operands == 0 ]]; then");
        fputs("        ", stdout);
        bash_words(program->first);
        puts("\n        return\n"
             "    fi");
    }
    if (program->operands) {
        fputs("    ", stdout);
        bash_words(program->operands);
        putchar('\n');
    }
    printf("}\ncomplete -o filenames -F _%s %s%s%s\n", id, program->name, program->alias ? " " : "",
           program->alias ? program->alias : "");
}

/* --- zsh --------------------------------------------------------------------------------------*/

static void zsh_action(const char *complete)
{
    const char *what;
    if ((what = is_kind(complete, "words"))) {
        printf("(%s)", what);
    } else if ((what = is_kind(complete, "list"))) {
        printf("_values -s , value %s", what);
    } else if ((what = is_kind(complete, "file"))) {
        fputs("_files", stdout);
        if (*what) {
            fputs(" -g \"*.(", stdout);
            put_suffixes(what, "", "|");
            fputs(")(-.)\"", stdout);
        }
    } else if (is_kind(complete, "directory")) {
        fputs("_files -/", stdout);
    } else if (is_kind(complete, "command")) {
        fputs("_command_names", stdout);
    } else if ((what = is_kind(complete, "sh"))) {
        printf("{compadd -- ${(f)\"$(sh -c \"%s\" 2>/dev/null)\"}}", what);
    }
}

static void zsh_message(const char *value)
{
    const bool may = *value == '[';
    for (const char *p = value + may; *p && !(may && p[1] == '\0'); p++) {
        if (*p == ':')
            putchar('\\');
        putchar(*p);
    }
}

static void zsh_option(const struct emd_option *o)
{
    char text[1024];
    const char *help = o->help ? o->help : no_options;
    const bool may = o->value && o->value[0] == '[';
    fputs("    ", stdout);
    if (o->repeatable)
        fputs("'*'", stdout);
    else if (o->letter && o->name)
        printf("'(-%c --%s)'", o->letter, o->name);
    if (o->letter && o->name)
        printf("{-%c%s,--%s%s}'", o->letter,
               !o->value ? ""
               : may     ? "-"
                         : "+",
               o->name,
               !o->value ? ""
               : may     ? "=-"
                         : "=");
    else if (o->name)
        printf("'--%s%s", o->name, !o->value ? "" : may ? "=-" : "=");
    else
        printf("'-%c%s", o->letter, o->value ? "+" : "");
    putchar('[');
    put_description(help, ZSH);
    putchar(']');
    if (o->value) {
        fputs(may ? "::" : ":", stdout);
        zsh_message(o->value);
        putchar(':');
        zsh_action(completion_of(o, text));
    }
    puts("' \\");
}

static void complete_zsh(const struct emd_program *program)
{
    printf("#compdef %s%s%s\n_arguments -s -S \\\n", program->name, program->alias ? " " : "",
           program->alias ? program->alias : "");
    for (size_t i = 0; i < program->option_count; i++)
        if (program->options[i].kind != EMD_OPTION_TITLE)
            zsh_option(&program->options[i]);
    fputs("    '(- *)'{-h,--help}'[print this help and exit]' \\\n"
          "    '(- *)'{-V,--version}'[print the version and exit]'",
          stdout);
    if (program->first) {
        fputs(" \\\n    '1: :", stdout);
        zsh_action(program->first);
        putchar('\'');
    }
    if (program->operands) {
        fputs(" \\\n    '*: :", stdout);
        zsh_action(program->operands);
        putchar('\'');
    }
    putchar('\n');
}

/* --- fish -------------------------------------------------------------------------------------*/

static void fish_action(const char *complete, bool value)
{
    const char *what;
    if (is_kind(complete, "file") && !*is_kind(complete, "file")) {
        fputs(value ? " -r -F" : " -F", stdout);
        return;
    }
    fputs(value ? " -x" : " -f", stdout);
    if ((what = is_kind(complete, "words"))) {
        printf(" -a '%s'", what);
    } else if ((what = is_kind(complete, "list"))) {
        fputs(" -a '(__fish_complete_list , \"printf %s\\\\\\\\n ", stdout);
        printf("%s\")'", what);
    } else if ((what = is_kind(complete, "file"))) {
        fputs(" -a '(", stdout);
        put_suffixes(what, "__fish_complete_suffix .", "; ");
        fputs(")'", stdout);
    } else if (is_kind(complete, "directory")) {
        fputs(" -a '(__fish_complete_directories)'", stdout);
    } else if (is_kind(complete, "command")) {
        fputs(" -a '(__fish_complete_command)'", stdout);
    } else if ((what = is_kind(complete, "sh"))) {
        printf(" -a '(sh -c \"%s\" 2>/dev/null)'", what);
    }
}

static void fish_option(const char *program, const struct emd_option *o)
{
    char text[1024];
    printf("complete -c %s", program);
    if (o->letter)
        printf(" -s %c", o->letter);
    if (o->name)
        printf(" -l %s", o->name);
    if (o->value && o->value[0] == '[') {
        const char *complete = completion_of(o, text);
        const char *words = is_kind(complete, "words");
        fputs(" -f", stdout);
        if (words)
            printf(" -a '%s'", words);
    } else if (o->value) {
        fish_action(completion_of(o, text), true);
    }
    fputs(" -d '", stdout);
    put_description(o->help ? o->help : no_options, FISH);
    puts("'");
}

static void complete_fish(const struct emd_program *program)
{
    const char *const names[] = {program->name, program->alias};
    for (size_t k = 0; k < 2 && names[k]; k++) {
        printf("# fish completion for %s, from its table of options\n", names[k]);
        for (size_t i = 0; i < program->option_count; i++)
            if (program->options[i].kind != EMD_OPTION_TITLE)
                fish_option(names[k], &program->options[i]);
        printf("complete -c %s -s h -l help -d 'print this help and exit'\n"
               "complete -c %s -s V -l version -d 'print the version and exit'\n",
               names[k], names[k]);
        const char *const operands[] = {program->first, program->operands};
        for (size_t i = 0; i < 2; i++) {
            if (!operands[i])
                continue;
            printf("complete -c %s", names[k]);
            if (program->first)
                printf(" -n '%s__fish_is_nth_token 1'", i == 0 ? "" : "not ");
            fish_action(operands[i], false);
            putchar('\n');
        }
    }
}

bool emd_options_complete(const struct emd_program *program, const char *shell)
{
    char id[64];
    snprintf(id, sizeof id, "%s", program->name);
    for (char *p = id; *p; p++)
        *p = *p == '-' || *p == '.' ? '_' : *p;
    if (strcmp(shell, "bash") == 0)
        complete_bash(program, id);
    else if (strcmp(shell, "zsh") == 0)
        complete_zsh(program);
    else if (strcmp(shell, "fish") == 0)
        complete_fish(program);
    else
        return false;
    return true;
}
