/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* The room of emdprocess: words, recipes, plans, records, names of crystals, running commands. */
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/crystals.h"
#include "process/instruments.h"
#include "process/recipe.h"
#include "process/runcommand.h"
#include "process/stageplan.h"
#include "process/stagerecord.h"
#include "process/words.h"

/* ---- words ----------------------------------------------------------------------------------- */

static const char *values(void *ctx, const char *name)
{
    (void)ctx;
    return strcmp(name, "a") == 0       ? "1 2"
           : strcmp(name, "empty") == 0 ? ""
           : strcmp(name, "x_9") == 0   ? "y"
                                        : NULL;
}

START_TEST(test_words)
{
    static const struct {
        const char *text, *joined; /* NULL: an error */
    } cases[] = {
        {"", ""},
        {"  dials.import   a.emd ", "dials.import a.emd"},
        {"x=${a} ${x_9}z", "'x=1 2' yz"},
        {"a b=${empty} c", "a c"},
        {"\"q ${x_9}\" '${a} $b'", "'q y' '${a} $b'"},
        {"a\\ b \\$x $$5", "'a b' '$x' '$5'"},
        {"'' \"\"", "'' ''"},
        {"it\\'s", "'it'\\''s'"},
        {"\"say \\\"x\\\"\"", "'say \"x\"'"},
        {"${a!}", "'1 2'"},
        {"'open", NULL},
        {"\"open", NULL},
        {"a\\", NULL},
        {"$a", NULL},
        {"${a", NULL},
        {"${}", NULL},
        {"${none}", NULL},
        {"${a b}", NULL},
        {"cost 5$", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct emd_words words = {0};
        struct emd_error err;
        enum emd_status status = emd_words_split(cases[i].text, values, NULL, NULL, &words, &err);
        ck_assert_msg((status == EMD_OK) == (cases[i].joined != NULL), "%s: %s", cases[i].text,
                      status == EMD_OK ? "taken" : err.text);
        if (status == EMD_OK) {
            char *joined = emd_words_join(&words);
            ck_assert_str_eq(joined, cases[i].joined);
            free(joined);
        } else {
            ck_assert_int_eq(status, EMD_E_FORMAT);
        }
        emd_words_free(&words);
    }
    struct emd_words words = {0};
    ck_assert_int_eq(emd_words_split("a ${empty!}", values, NULL, NULL, &words, NULL), EMD_E_EMPTY);
    emd_words_free(&words);
}
END_TEST

/* ---- recipes --------------------------------------------------------------------------------- */

#define STAGE "stage s\n command = c\n outputs = o\n"
#define PROJECT "scope = project\ntrials = P1\n"

START_TEST(test_recipe_errors)
{
    static const struct {
        const char *text, *part; /* of the message */
    } cases[] = {
        {"", "no stages"},
        {"# nothing\n\n", "no stages"},
        {"set a = 1\nset a = 2\n" STAGE, "line 2: 'a' is set in line 1 already"},
        {"set 1-2 = 1\n" STAGE, "line 1: '1-2' is no name"},
        {"set movie = x\n" STAGE, "line 1: 'movie' is set by emdprocess"},
        {"set a\n" STAGE, "line 1: 'set' needs NAME = VALUE"},
        {"set a = ${b}\n" STAGE, "line 1: the value uses 'b'"},
        {"set a = $b\n" STAGE, "line 1: a '$' must be"},
        {"a = 1\n" STAGE, "line 1: 'a' stands before the first stage"},
        {"require b\n" STAGE, "line 1: 'b' is not set above"},
        {"description = a\ndescription = b\n" STAGE, "line 2: 'description' is given twice"},
        {"nonsense\n" STAGE, "line 1: 'nonsense' is not understood"},
        {STAGE STAGE, "line 4: the stage 's' is in line 1 already"},
        {STAGE "set a = 1\n", "line 4: 'set' must stand before"},
        {"stage a/b\n", "line 1: 'a/b' is no name of a stage"},
        {STAGE "colour = red\n", "line 4: 'colour' is unknown"},
        {STAGE "command = d\n", "line 4: 'command' is given in line 2 already"},
        {STAGE "outputs = d\n", "line 4: 'outputs' is given in line 3 already"},
        {STAGE "time = soon\n", "line 4: 'soon' is no time"},
        {STAGE "time = 1h\ntime = 1h\n", "line 5: 'time' is given twice"},
        {STAGE "optional = maybe\n", "line 4: 'optional' is yes or no"},
        {STAGE "inputs =\n", "line 4: 'inputs' has no value"},
        {STAGE "inputs = \\\n a ${b}\n", "line 4: there is no variable 'b'"},
        {"stage s\n or = c\n", "line 2: 'or' must follow a 'command'"},
        {"stage s\n outputs = o\n", "line 1: the stage 's' has no command"},
        {"stage s\n command = c\n", "line 1: the stage 's' has no outputs"},
        {"stage s\n command = c ${x}\n outputs = o\n", "line 2: there is no variable 'x'"},
        {"stage s\n command = 'c\n outputs = o\n", "line 2: a ' is not closed"},
        {STAGE "inputs = a \\\n", "line 4: nothing follows"},
        {"scope = lattice\n" STAGE, "line 1: 'scope' is crystal or project"},
        {"scope = project\nscope = project\n" STAGE, "line 2: 'scope' is given twice"},
        {"scope = project\n" STAGE, "'scope = project' needs 'trials = TRIAL'"},
        {"trials = P1\n" STAGE, "line 1: 'trials' needs 'scope = project'"},
        {"list l = a\n" STAGE, "line 1: 'list' needs 'scope = project'"},
        {"scope = crystal\nlist l = a\n" STAGE, "line 2: 'list' needs 'scope = project'"},
        {PROJECT "list l\n" STAGE, "line 3: 'list' needs NAME = FILES"},
        {PROJECT "set l =\nlist l = a\n" STAGE, "line 4: there is a 'l' already"},
        {PROJECT "list l = a\nset l =\n" STAGE, "line 4: 'l' is a list already"},
        {PROJECT "list movie = a\n" STAGE, "line 3: there is a 'movie' already"},
        {PROJECT "list l = ${m}\n" STAGE, "line 3: there is no variable 'm'"},
        {PROJECT "list k = a\nlist l = ${k}\n" STAGE, "line 4: there is no variable 'k'"},
        {PROJECT STAGE "list l = a\n", "line 6: 'list' must stand before"},
        {PROJECT "set m = ${movie}\n" STAGE, "line 3: there is no movie and no crystal"},
        {PROJECT "list l = a\nstage s\n command = c x${l}\n outputs = o\n",
         "line 5: 'l' is a list: ${l} must be a word of its own"},
        {PROJECT "list l = a\nstage s\n command = c \"${l}\"\n outputs = o\n",
         "line 5: 'l' is a list"},
        {PROJECT "list l = a\nstage s\n command = c\n outputs = ${l}\n",
         "line 6: there is no variable 'l'"},
        {PROJECT "stage s\n command = c ${movie}\n outputs = o\n",
         "line 4: there is no variable 'movie'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct emd_recipe recipe;
        struct emd_error err = {0};
        enum emd_status status =
            emd_recipe_parse(cases[i].text, strlen(cases[i].text), &recipe, &err);
        ck_assert_msg(status == EMD_E_FORMAT, "taken: %s", cases[i].text);
        ck_assert_msg(strstr(err.text, cases[i].part), "'%s' is not in: %s", cases[i].part,
                      err.text);
        emd_recipe_free(&recipe);
    }
    struct emd_recipe recipe;
    ck_assert_int_eq(emd_recipe_parse("stage\0s", 7, &recipe, NULL), EMD_E_FORMAT);
    emd_recipe_free(&recipe);
}
END_TEST

START_TEST(test_duration)
{
    double s;
    ck_assert(emd_duration_parse("90", &s) && s == 90);
    ck_assert(emd_duration_parse("1.5m", &s) && s == 90);
    ck_assert(emd_duration_parse("2h", &s) && s == 7200);
    ck_assert(emd_duration_parse("1d", &s) && s == 86400);
    static const char *const bad[] = {"", "h", "-1s", "0", "1w", "1 h", "nan", "1e99"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!emd_duration_parse(bad[i], &s), "%s", bad[i]);
}
END_TEST

static void parse(const char *text, struct emd_recipe *recipe)
{
    struct emd_error err;
    ck_assert_msg(emd_recipe_parse(text, strlen(text), recipe, &err) == EMD_OK, "%s", err.text);
}

static const struct emd_plan_facts facts = {
    .movie = "images/a b.emd", .crystal = "20230611_2324", .trial = "P1", .nproc = 3};

START_TEST(test_settings)
{
    struct emd_recipe recipe;
    struct emd_error err;
    static const char *const bad[] = {"nonsense\n", "colour = red\n", "gain = 1\ngain = 2\n",
                                      "P1.colour = red\n", "gain = ${gain}\n"};
    parse("set gain = 1\nset own =\n" STAGE, &recipe);
    FILE *f = fopen("settings", "w");
    fputs("# a comment\n\ngain = 2\nP1.gain = 3\nmP.gain = 4\nunit_cell = 1,2,3\nP1.own = me\n"
          "nproc = 2\n",
          f);
    fclose(f);
    ck_assert_msg(emd_recipe_read_settings(&recipe, "P1", "settings", &err) == EMD_OK, "%s",
                  err.text);
    ck_assert_str_eq(emd_recipe_variable(&recipe, "gain")->value, "3");
    ck_assert_str_eq(emd_recipe_variable(&recipe, "own")->value, "me");
    ck_assert_str_eq(emd_recipe_variable(&recipe, "nproc")->value, "2");
    ck_assert_int_eq(emd_recipe_set(&recipe, "other", "1", &err), EMD_E_ARGUMENT);
    ck_assert_int_eq(emd_recipe_read_settings(&recipe, "P1", "nowhere", NULL), EMD_E_EMPTY);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        f = fopen("settings", "w");
        fputs(bad[i], f);
        fclose(f);
        ck_assert_msg(emd_recipe_read_settings(&recipe, "P1", "settings", &err) == EMD_E_FORMAT,
                      "taken: %s", bad[i]);
        ck_assert_msg(strstr(err.text, "settings: line "), "%s", err.text);
    }
    emd_recipe_free(&recipe);
    unlink("settings");
}
END_TEST

/* ---- plans ----------------------------------------------------------------------------------- */

START_TEST(test_plan)
{
    struct emd_recipe recipe;
    struct emd_stageplan plan;
    struct emd_error err;
    /* later stages first: the order is that of the files */
    parse("set d = 5\nset mask =\nset e =\n"
          "stage last\n command = z --n ${nproc} ${e}\n inputs = sub/../mid.txt ../../x /abs/./y\n"
          " outputs = out.txt\n"
          "stage mid\n command = m ${movie} ${mask} ${d!}\n or = never ${e!}\n folder = sub/deep\n"
          " inputs = ${movie} ../../first.txt\n outputs = ../../mid.txt\n"
          "stage first\n command = f ${movie} ${project}/x ${crystal} ${trial}\n"
          " outputs = first.txt\n",
          &recipe);
    struct emd_plan_facts with = facts;
    with.mask = "pixels.mask";
    ck_assert_msg(emd_stageplan_make(&recipe, &with, &plan, &err) == EMD_OK, "%s", err.text);
    ck_assert_uint_eq(plan.count, 3);
    ck_assert_str_eq(plan.stages[0].spec->name, "first");
    ck_assert_str_eq(plan.stages[1].spec->name, "mid");
    ck_assert_str_eq(plan.stages[2].spec->name, "last");
    ck_assert_str_eq(plan.stages[0].texts[0], "f '../../images/a b.emd' ../../x 20230611_2324 P1");
    ck_assert_str_eq(plan.stages[1].folder, "sub/deep");
    ck_assert_uint_eq(plan.stages[1].command_count, 1);
    ck_assert_str_eq(plan.stages[1].texts[0],
                     "m '../../../../images/a b.emd' ../../../../pixels.mask 5");
    ck_assert_str_eq(plan.stages[1].inputs.word[0], "../../images/a b.emd");
    ck_assert_str_eq(plan.stages[1].inputs.word[1], "first.txt");
    ck_assert_str_eq(plan.stages[1].outputs.word[0], "mid.txt");
    ck_assert_str_eq(plan.stages[2].inputs.word[0], "mid.txt");
    ck_assert_str_eq(plan.stages[2].inputs.word[1], "../../x");
    ck_assert_str_eq(plan.stages[2].inputs.word[2], "/abs/y");
    ck_assert(plan.stages[2].uses_nproc && !plan.stages[1].uses_nproc);
    ck_assert_str_eq(plan.stages[2].commands[0].word[2], "3");
    ck_assert_str_eq(plan.stages[2].texts[0], "z --n '${nproc}'");
    ck_assert_uint_eq(plan.stages[2].need_count, 1);
    ck_assert_uint_eq(plan.stages[2].needs[0], 1);
    emd_stageplan_free(&plan);
    emd_recipe_free(&recipe);
}
END_TEST

/* A recipe over several crystals: lists, of one crystal after the other, as each stage sees them.
 */
START_TEST(test_plan_of_lists)
{
    struct emd_recipe recipe;
    struct emd_stageplan plan;
    struct emd_words members = {0}, files;
    struct emd_error err;
    char *trials;
    parse("scope = project\nset from = P1\ntrials = ${from}/not_blank\n"
          "list both = ${from}/a.expt \"${from}/a b.refl\"\nlist one = c\n"
          "stage s\n command = m ${both} --n ${one}\n inputs = ${both} ${one}\n outputs = o\n"
          "stage t\n folder = deep\n command = n ${one} ${project}/x\n inputs = ../o\n"
          " outputs = p\n",
          &recipe);
    ck_assert(recipe.project);
    emd_recipe_set(&recipe, "from", "mP", &err);
    struct emd_plan_facts of_set = {.movie = "", .crystal = "merged", .trial = "M", .nproc = 2};
    ck_assert_int_eq(emd_stageplan_trials(&recipe, &of_set, &trials, &err), EMD_OK);
    ck_assert_str_eq(trials, "mP/not_blank");
    free(trials);
    ck_assert_int_eq(emd_stageplan_member_files(&recipe, &of_set, &files, &err), EMD_OK);
    ck_assert_uint_eq(files.count, 3);
    ck_assert_str_eq(files.word[1], "mP/a b.refl");
    emd_words_free(&files);
    /* nobody: no words */
    ck_assert_msg(emd_stageplan_make(&recipe, &of_set, &plan, &err) == EMD_OK, "%s", err.text);
    ck_assert_str_eq(plan.stages[0].texts[0], "m --n");
    ck_assert_uint_eq(plan.stages[0].inputs.count, 0);
    emd_stageplan_free(&plan);
    emd_words_add(&members, "20260101_0101", &err);
    emd_words_add(&members, "day/x y", &err);
    of_set.members = &members;
    ck_assert_msg(emd_stageplan_make(&recipe, &of_set, &plan, &err) == EMD_OK, "%s", err.text);
    ck_assert_str_eq(plan.stages[0].texts[0],
                     "m ../../20260101_0101/mP/a.expt '../../20260101_0101/mP/a b.refl' "
                     "'../../day/x y/mP/a.expt' '../../day/x y/mP/a b.refl' "
                     "--n ../../20260101_0101/c '../../day/x y/c'");
    ck_assert_uint_eq(plan.stages[0].inputs.count, 6);
    ck_assert_str_eq(plan.stages[0].inputs.word[2], "../../day/x y/mP/a.expt");
    ck_assert_str_eq(plan.stages[1].texts[0],
                     "n ../../../20260101_0101/c '../../../day/x y/c' ../../../x");
    emd_stageplan_free(&plan);
    emd_words_free(&members);
    emd_recipe_free(&recipe);
    parse("scope = project\nset from =\ntrials = ${from}\n" STAGE, &recipe);
    ck_assert_int_eq(emd_stageplan_trials(&recipe, &of_set, &trials, &err), EMD_E_FORMAT);
    ck_assert_str_eq(err.text, "line 3: trials: not one name of a trial");
    emd_recipe_free(&recipe);
}
END_TEST

START_TEST(test_plan_errors)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"stage a\n command = c\n inputs = y\n outputs = x\n"
         "stage b\n command = c\n inputs = x\n outputs = y\n",
         "line 1: the stage 'a' waits for its own outputs"},
        {"stage a\n command = c\n inputs = x\n outputs = x\n", "waits for its own"},
        {"stage a\n command = c\n outputs = x\nstage b\n command = c\n outputs = ./x\n",
         "line 6: 'x' is an output of 'a' (line 3) already"},
        {"stage a\n command = c\n outputs = ../x\n", "line 3: the output '../x' does not lie"},
        {"stage a\n command = c\n outputs = /x\n", "does not lie in the trial's folder"},
        {"stage a\n folder = ..\n command = c\n outputs = x\n", "line 2: the folder"},
        {"set a =\nstage a\n command = ${a}\n outputs = x\n", "line 3: nothing is left"},
        {"set a =\nstage a\n command = c\n outputs = ${a}\n", "line 4: nothing is left"},
        {"set a =\nrequire a\n" STAGE, "the recipe needs a value of 'a'"},
        {"set a =\nstage a\n command = c ${a!}\n outputs = x\n", "insist on variables"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct emd_recipe recipe;
        struct emd_stageplan plan;
        struct emd_error err = {0};
        parse(cases[i].text, &recipe);
        ck_assert_msg(emd_stageplan_make(&recipe, &facts, &plan, &err) != EMD_OK, "taken: %s",
                      cases[i].text);
        ck_assert_msg(strstr(err.text, cases[i].part), "'%s' is not in: %s", cases[i].part,
                      err.text);
        emd_stageplan_free(&plan);
        emd_recipe_free(&recipe);
    }
}
END_TEST

START_TEST(test_shipped_recipes)
{
    static const char *const names[] = {"P1", "mP", "merge"};
    for (size_t i = 0; i < 3; i++) {
        char path[512];
        struct emd_recipe recipe;
        struct emd_stageplan plan;
        struct emd_error err;
        snprintf(path, sizeof path, "%s/share/emdtools/recipes/%s.recipe",
                 getenv("EMDTOOLS_SOURCE_DIR"), names[i]);
        ck_assert_msg(emd_recipe_read(path, &recipe, &err) == EMD_OK, "%s", err.text);
        if (i == 1)
            ck_assert_int_eq(emd_recipe_set(&recipe, "unit_cell", "5,6,10,90,91,90", &err), EMD_OK);
        ck_assert_msg(emd_stageplan_make(&recipe, &facts, &plan, &err) == EMD_OK, "%s", err.text);
        ck_assert_ptr_nonnull(emd_stageplan_find(&plan, i < 2 ? "rescale" : "scale"));
        ck_assert_int_eq(recipe.project, i == 2);
        ck_assert_ptr_null(emd_stageplan_find(&plan, "none"));
        emd_stageplan_free(&plan);
        emd_recipe_free(&recipe);
    }
}
END_TEST

/* ---- instruments ----------------------------------------------------------------------------- */

static const char *found(const struct emd_instruments *list, const char *instrument,
                         const char *camera, double binning, double length, const char *name)
{
    const struct emd_instrument_key key = {instrument, camera, binning, length};
    const struct emd_instrument_setting *s = emd_instruments_find(list, &key, name);
    return s ? s->value : "";
}

START_TEST(test_instruments)
{
    static const char text[] = "# measured in May\n"
                               "[Talos Arctica*, BM-Ceta, 2]\n"
                               "gain = 2.6\n"
                               "[talos*, *ceta]\n"
                               "distance.670 = 618\ndistance.850 = 784\n"
                               "d_min.670 = 0.8\r\n"
                               "axis = 0.7933, -0.6088,0\n"
                               "gain = 9\nmask = stop.mask\n"
                               "[*, *]\n"
                               "pedestal = -40\nsaturation=8000\npixel_size = 0.014\n";
    struct emd_instruments list = {0};
    struct emd_error err = {0};
    ck_assert_msg(
        emd_instruments_parse(text, sizeof text - 1, "lab/instruments.conf", &list, &err) == EMD_OK,
        "%s", err.text);
    ck_assert_str_eq(found(&list, "Talos Arctica 3456", "BM-Ceta", 2, 670, "distance"), "618");
    ck_assert_str_eq(found(&list, "Talos Arctica 3456", "BM-Ceta", 2, 851, "distance"), "784");
    ck_assert_str_eq(found(&list, "Talos Arctica 3456", "BM-Ceta", 2, 700, "distance"), "");
    ck_assert_str_eq(found(&list, "Talos Arctica 3456", "BM-Ceta", 2, NAN, "distance"), "");
    ck_assert_str_eq(found(&list, "Talos Arctica 3456", "BM-Ceta", 2, 670, "gain"), "2.6");
    ck_assert_str_eq(found(&list, "Talos Arctica 3456", "BM-Ceta", 4, 670, "gain"), "9");
    ck_assert_str_eq(found(&list, "Talos 1", "BM-Ceta", 2, 670, "gain"), "9");
    ck_assert_str_eq(found(&list, "Talos 1", "BM-Falcon", 2, 670, "gain"), "");
    ck_assert_str_eq(found(&list, "", "", NAN, NAN, "pedestal"), "-40");
    ck_assert_str_eq(found(&list, "Talos 1", "BM-Ceta", 2, 670, "mask"), "lab/stop.mask");
    const struct emd_instrument_key key = {"Talos 1", "BM-Ceta", 2, 670};
    ck_assert_str_eq(emd_instruments_find(&list, &key, "axis")->from, "lab/instruments.conf:8");
    emd_instruments_free(&list);
}
END_TEST

START_TEST(test_instruments_that_are_refused)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"gain = 2\n", "line 1: it belongs to no section"},
        {"[Talos]\n", "line 1: a section is [INSTRUMENT, CAMERA]"},
        {"[a, b\n", "a section is"},
        {"[a, b, x]\n", "'x' is not a binning"},
        {"[a, b]\ngain 2\n", "line 2: not NAME = VALUE"},
        {"[a, b]\ngains = 2\n", "'gains' is unknown"},
        {"[a, b]\ngain = two\n", "invalid value 'two'"},
        {"[a, b]\ngain = -2\n", "invalid value '-2'"},
        {"[a, b]\ngain = nan\n", "invalid value 'nan'"},
        {"[a, b]\ngain =\n", "invalid value ''"},
        {"[a, b]\naxis = 1,0\n", "invalid value '1,0'"},
        {"[a, b]\naxis = 1,0,0,0\n", "invalid value"},
        {"[a, b]\ndistance = 618\n", "'distance' needs a nominal length"},
        {"[a, b]\ndistance.x = 618\n", "needs a nominal length"},
        {"[a, b]\ngain.670 = 2\n", "the same for all lengths"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct emd_instruments list = {0};
        struct emd_error err = {0};
        ck_assert_msg(emd_instruments_parse(cases[i].text, strlen(cases[i].text), "x.conf", &list,
                                            &err) == EMD_E_FORMAT,
                      "taken: %s", cases[i].text);
        ck_assert_msg(strstr(err.text, cases[i].part), "'%s' is not in: %s", cases[i].part,
                      err.text);
        emd_instruments_free(&list);
    }
}
END_TEST

/* ---- records --------------------------------------------------------------------------------- */

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static enum emd_verdict judge(const struct emd_stageplan *plan, char why[static 256])
{
    struct emd_record *record;
    ck_assert_int_eq(emd_record_open("trial", &record, NULL), EMD_OK);
    enum emd_verdict verdict = emd_record_judge(record, &plan->stages[0], why);
    emd_record_free(record);
    return verdict;
}

static void run(const struct emd_stageplan *plan, int state, size_t tried)
{
    struct emd_record *record;
    struct emd_error err;
    const struct emd_stage_result result = {.state = state,
                                            .tried = tried,
                                            .ending = "exit code 0",
                                            .reason = "because \xff\x01",
                                            .last_lines = "one\ntwo",
                                            .dials = ""};
    ck_assert_int_eq(emd_record_open("trial", &record, NULL), EMD_OK);
    ck_assert_int_eq(emd_record_arrange(record, plan, &err), EMD_OK);
    ck_assert_msg(emd_record_begin(record, &plan->stages[0], &err) == EMD_OK, "%s", err.text);
    ck_assert_int_eq(emd_record_write(record, &err), EMD_OK);
    ck_assert_msg(emd_record_end(record, &plan->stages[0], &result, &err) == EMD_OK, "%s",
                  err.text);
    ck_assert_int_eq(emd_record_write(record, &err), EMD_OK);
    emd_record_free(record);
}

START_TEST(test_record)
{
    struct emd_recipe recipe, other;
    struct emd_stageplan plan, changed;
    char why[256];
    const struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
    parse("stage s\n command = a x\n or = b\n inputs = in\n outputs = out\n", &recipe);
    ck_assert_int_eq(emd_stageplan_make(&recipe, &facts, &plan, NULL), EMD_OK);
    mkdir("trial", 0777);
    unlink("trial/emdprocess.json");
    put("trial/in", "input");
    put("trial/out", "output");
    ck_assert_int_eq(judge(&plan, why), EMD_VERDICT_TODO);
    ck_assert_str_eq(why, "it never ran");
    run(&plan, EMD_STAGE_DONE, 0);
    ck_assert_int_eq(judge(&plan, why), EMD_VERDICT_DONE);
    /* another time, the same content */
    ck_assert_int_eq(utimensat(AT_FDCWD, "trial/in", times, 0), 0);
    ck_assert_int_eq(judge(&plan, why), EMD_VERDICT_DONE);
    put("trial/in", "INPUT");
    ck_assert_int_eq(judge(&plan, why), EMD_VERDICT_TODO);
    ck_assert_str_eq(why, "its input in has changed");
    put("trial/in", "input");
    put("trial/out", "");
    ck_assert_int_eq(judge(&plan, why), EMD_VERDICT_TODO);
    unlink("trial/out");
    ck_assert_int_eq(judge(&plan, why), EMD_VERDICT_TODO);
    ck_assert_str_eq(why, "its output out is not there any more");
    put("trial/out", "output");
    ck_assert_int_eq(judge(&plan, why), EMD_VERDICT_DONE);
    /* other alternatives matter only if they were tried */
    static const struct {
        const char *text;
        enum emd_verdict after_first, after_second;
    } cases[] = {
        {"stage s\n command = a x\n or = c\n inputs = in\n outputs = out\n", EMD_VERDICT_DONE,
         EMD_VERDICT_TODO},
        {"stage s\n command = a x\n inputs = in\n outputs = out\n", EMD_VERDICT_DONE,
         EMD_VERDICT_TODO},
        {"stage s\n command = a y\n or = b\n inputs = in\n outputs = out\n", EMD_VERDICT_TODO,
         EMD_VERDICT_TODO},
        {"stage s\n command = a x\n or = b\n inputs = in\n outputs = out more\n", EMD_VERDICT_TODO,
         EMD_VERDICT_TODO},
        {"stage s\n command = a x\n or = b\n outputs = out\n", EMD_VERDICT_TODO, EMD_VERDICT_TODO},
        {"stage t\n command = a x\n or = b\n inputs = in\n outputs = out\n", EMD_VERDICT_TODO,
         EMD_VERDICT_TODO},
    };
    for (size_t tried = 0; tried < 2; tried++) {
        run(&plan, EMD_STAGE_DONE, tried);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            parse(cases[i].text, &other);
            ck_assert_int_eq(emd_stageplan_make(&other, &facts, &changed, NULL), EMD_OK);
            ck_assert_msg(judge(&changed, why) ==
                              (tried ? cases[i].after_second : cases[i].after_first),
                          "%zu, %zu: %s", tried, i, why);
            emd_stageplan_free(&changed);
            emd_recipe_free(&other);
        }
    }
    /* failures: for good, or worth another try */
    run(&plan, EMD_STAGE_FAILED, 1);
    ck_assert_int_eq(judge(&plan, why), EMD_VERDICT_FAILED);
    ck_assert_str_eq(why, "because \\xff\x01");
    ck_assert(emd_record_unfinished("trial", "out", why));
    ck_assert_str_eq(why, "s: because \\xff\x01");
    ck_assert(!emd_record_unfinished("trial", "in", why));
    put("trial/in", "another");
    ck_assert_int_eq(judge(&plan, why), EMD_VERDICT_TODO);
    put("trial/in", "input");
    run(&plan, EMD_STAGE_BROKEN, 1);
    ck_assert_int_eq(judge(&plan, why), EMD_VERDICT_TODO);
    run(&plan, EMD_STAGE_STOPPED, 1);
    ck_assert_int_eq(judge(&plan, why), EMD_VERDICT_TODO);
    /* a damaged record says nothing */
    static const char *const bad[] = {"", "{", "[]", "{\"format\": 2, \"stages\": []}", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct emd_record *record;
        put("trial/emdprocess.json", bad[i]);
        ck_assert_int_eq(emd_record_open("trial", &record, NULL), EMD_OK);
        ck_assert(emd_record_damaged(record));
        ck_assert_int_eq(emd_record_judge(record, &plan.stages[0], why), EMD_VERDICT_TODO);
        emd_record_free(record);
    }
    emd_stageplan_free(&plan);
    emd_recipe_free(&recipe);
}
END_TEST

/* What a stage did to its own files. */
START_TEST(test_record_ends)
{
    struct emd_recipe recipe;
    struct emd_stageplan plan;
    struct emd_record *record;
    struct emd_error err;
    const struct emd_stage_result done = {
        .state = EMD_STAGE_DONE, .ending = "", .reason = "", .last_lines = "", .dials = "3.12"};
    parse("stage s\n command = a\n inputs = in\n outputs = out\n", &recipe);
    ck_assert_int_eq(emd_stageplan_make(&recipe, &facts, &plan, NULL), EMD_OK);
    mkdir("trial", 0777);
    unlink("trial/emdprocess.json");
    unlink("trial/in");
    unlink("trial/out");
    ck_assert_int_eq(emd_record_open("trial", &record, NULL), EMD_OK);
    ck_assert_int_eq(emd_record_arrange(record, &plan, &err), EMD_OK);
    ck_assert_int_eq(emd_record_begin(record, &plan.stages[0], &err), EMD_E_EMPTY);
    ck_assert_str_eq(err.text, "its input in is not there");
    put("trial/in", "input");
    ck_assert_int_eq(emd_record_begin(record, &plan.stages[0], &err), EMD_OK);
    ck_assert_str_eq(emd_record_state(record, "s"), "running");
    ck_assert_int_eq(emd_record_end(record, &plan.stages[0], &done, &err), EMD_E_EMPTY);
    ck_assert_str_eq(emd_record_reason(record, "s"), "its output out is not there");
    put("trial/out", "output");
    ck_assert_int_eq(emd_record_begin(record, &plan.stages[0], &err), EMD_OK);
    put("trial/in", "other input");
    ck_assert_int_eq(emd_record_end(record, &plan.stages[0], &done, &err), EMD_E_CHANGED);
    ck_assert_str_eq(emd_record_state(record, "s"), "failed");
    emd_record_free(record);
    emd_stageplan_free(&plan);
    emd_recipe_free(&recipe);
}
END_TEST

/* ---- crystals -------------------------------------------------------------------------------- */

START_TEST(test_names)
{
    static const char *const cases[][2] = {
        {"images/Camera_Ceta_20230611_2324_670_mm.emd", "20230611_2324"},
        {"Camera Ceta 20230611 2324 670 mm.EMD", "20230611_2324"},
        {"20230611_2324.emd", "20230611_2324"},
        {"a-20230611-232455-x.emd", "20230611_2324"},
        {"a_202306112324.emd", "20230611_2324"},
        {"a_120230611_2324.emd", "a_120230611_2324"},
        {"a_20230611_23245.emd", "a_20230611_23245"},
        {"a_20231311_2324.emd", "a_20231311_2324"},
        {"a_20230632_2324.emd", "a_20230632_2324"},
        {"a_20230611_2460.emd", "a_20230611_2460"},
        {"20230611.emd", "20230611"},
        {"x/20230611_2324/lysozyme 3.emd", "lysozyme_3"},
        {"12345678_0000 20230611_2324.emd", "20230611_2324"},
        {".emd", "_emd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *name = emd_crystal_name(cases[i][0]);
        ck_assert_str_eq(name, cases[i][1]);
        free(name);
    }
}
END_TEST

START_TEST(test_crystals)
{
    struct emd_crystals c = {0};
    struct emd_error err;
    ck_assert_int_eq(system("rm -rf project && mkdir -p project/images/sub project/images/.hidden"),
                     0);
    static const char *const movies[] = {"sub/b_20230611_2324.emd",
                                         "a_20230611_2324.emd",
                                         "images.emd",
                                         ".hidden/c.emd",
                                         "notes.txt",
                                         "x.emd.tmp",
                                         "z.emd"};
    for (size_t i = 0; i < sizeof movies / sizeof *movies; i++) {
        char path[128];
        snprintf(path, sizeof path, "project/images/%s", movies[i]);
        put(path, "");
    }
    ck_assert_int_eq(emd_crystals_find("project", "images", &c, NULL, &err), EMD_OK);
    ck_assert_uint_eq(c.count, 4);
    ck_assert_int_eq(emd_crystals_name("project", &c, &err), EMD_OK);
    static const char *const names[] = {"20230611_2324", "images_2", "20230611_2324_2", "z"};
    for (size_t i = 0; i < 4; i++)
        ck_assert_str_eq(c.crystal[i].name, names[i]);
    ck_assert_int_eq(emd_crystal_claim("project", &c.crystal[2], &err), EMD_OK);
    ck_assert_int_eq(emd_crystal_claim("project", &c.crystal[0], &err), EMD_OK);
    emd_crystals_free(&c);
    /* a movie that sorts before the others takes nobody's name */
    put("project/images/0_20230611_2324.emd", "");
    ck_assert_int_eq(emd_crystals_find("project", "images", &c, NULL, &err), EMD_OK);
    ck_assert_int_eq(emd_crystals_name("project", &c, &err), EMD_OK);
    static const char *const later[] = {"20230611_2324_3", "20230611_2324", "images_2",
                                        "20230611_2324_2", "z"};
    for (size_t i = 0; i < 5; i++)
        ck_assert_str_eq(c.crystal[i].name, later[i]);
    ck_assert(c.crystal[1].claimed && !c.crystal[0].claimed);
    /* somebody else was faster */
    mkdir("project/z", 0777);
    put("project/z/.movie", "images/other.emd\n");
    ck_assert_int_eq(emd_crystal_claim("project", &c.crystal[4], &err), EMD_E_BUSY);
    put("project/z/.movie", "images/z.emd\n");
    ck_assert_int_eq(emd_crystal_claim("project", &c.crystal[4], &err), EMD_OK);
    emd_crystals_free(&c);
    ck_assert_int_ne(emd_crystals_find("project", "nothing", &c, NULL, &err), EMD_OK);
    emd_crystals_free(&c);
}
END_TEST

/* ---- commands -------------------------------------------------------------------------------- */

extern char **environ;

static struct emd_run_outcome run_shell(const char *script, int signal_number)
{
    char shell[] = "sh", option[] = "-c";
    char *copy = strdup(script);
    char *argv[] = {shell, option, copy, NULL};
    struct emd_run run;
    struct emd_error err;
    const struct emd_run_request request = {
        .argv = argv, .environment = environ, .folder = "trial", .log = "run.log", .keep = -1};
    mkdir("trial", 0777);
    unlink("run.log");
    ck_assert_msg(emd_run_start(&request, &run, &err) == EMD_OK, "%s", err.text);
    if (signal_number) {
        while (access("trial/ready", F_OK) != 0)
            usleep(1000);
        emd_run_signal(&run, signal_number);
    }
    struct emd_run_outcome o = emd_run_finish(&run);
    free(copy);
    return o;
}

START_TEST(test_run)
{
    struct emd_run_outcome o = run_shell("echo out; echo err >&2; pwd; cat; exit 7", 0);
    ck_assert(o.exited && o.code == 7);
    char text[512] = "";
    FILE *f = fopen("run.log", "r");
    ck_assert_uint_gt(fread(text, 1, sizeof text - 1, f), 0);
    fclose(f);
    ck_assert_msg(strncmp(text, "out\nerr\n/", 9) == 0 && strstr(text, "/trial\n"), "%s", text);
    o = run_shell("kill -9 $$", 0);
    ck_assert(!o.exited && o.code == 9);
    /* what is left behind goes along; what does not listen is killed */
    unlink("trial/late");
    o = run_shell("(sleep 0.3; touch late) & exit 0", 0);
    ck_assert(o.exited && o.code == 0);
    unlink("trial/ready");
    o = run_shell("touch ready; sleep 100 & wait", SIGTERM);
    ck_assert(!o.exited && o.code == SIGTERM);
    unlink("trial/ready");
    o = run_shell("trap '' TERM; touch ready; sleep 100", SIGKILL);
    ck_assert(!o.exited && o.code == -1);
    /* the keeper is killed alone: nothing of its group stays */
    o = run_shell("(sleep 0.3; touch late) & kill -9 $PPID; wait", 0);
    ck_assert(!o.exited && o.code == -1);
    usleep(400000);
    ck_assert_int_ne(access("trial/late", F_OK), 0);
}
END_TEST

START_TEST(test_run_missing)
{
    char name[] = "no-such-program";
    char *argv[] = {name, NULL};
    struct emd_run run;
    struct emd_error err;
    const struct emd_run_request request = {
        .argv = argv, .environment = environ, .folder = ".", .log = "run.log", .keep = -1};
    ck_assert_int_eq(emd_run_start(&request, &run, &err), EMD_E_EMPTY);
    ck_assert_str_eq(err.text, "there is no program no-such-program on PATH");
    char *sh = emd_run_find("sh", environ);
    ck_assert_ptr_nonnull(sh);
    free(sh);
}
END_TEST

START_TEST(test_run_memory)
{
    char python[] = "/usr/bin/python3", option[] = "-c";
    char script[] = "x=bytearray(100 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\n"
                    "open('ready', 'w').close()\nimport time; time.sleep(100)";
    char *argv[] = {python, option, script, NULL};
    struct emd_run run;
    const struct emd_run_request request = {
        .argv = argv, .environment = environ, .folder = "trial", .log = "run.log", .keep = -1};
    double bytes;
    mkdir("trial", 0777);
    unlink("trial/ready");
    ck_assert_int_eq(emd_run_start(&request, &run, NULL), EMD_OK);
    while (access("trial/ready", F_OK) != 0)
        usleep(1000);
    emd_run_memory(&run.group, &bytes, 1);
    emd_run_signal(&run, SIGKILL);
    emd_run_finish(&run);
    ck_assert_msg(bytes > 100e6 && bytes < 200e6, "%g", bytes);
}
END_TEST

int main(void)
{
    char folder[] = "/tmp/test_process.XXXXXX", command[64];
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return 1;
    Suite *suite = suite_create("process");
    TCase *tests = tcase_create("all");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, test_words);
    tcase_add_test(tests, test_recipe_errors);
    tcase_add_test(tests, test_duration);
    tcase_add_test(tests, test_settings);
    tcase_add_test(tests, test_plan);
    tcase_add_test(tests, test_plan_of_lists);
    tcase_add_test(tests, test_plan_errors);
    tcase_add_test(tests, test_shipped_recipes);
    tcase_add_test(tests, test_instruments);
    tcase_add_test(tests, test_instruments_that_are_refused);
    tcase_add_test(tests, test_record);
    tcase_add_test(tests, test_record_ends);
    tcase_add_test(tests, test_names);
    tcase_add_test(tests, test_crystals);
    tcase_add_test(tests, test_run);
    tcase_add_test(tests, test_run_missing);
    tcase_add_test(tests, test_run_memory);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0 || failed ? 1 : 0;
}
