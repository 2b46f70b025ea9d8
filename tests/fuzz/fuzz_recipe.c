/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* Recipes of any bytes: parsed, given values, planned. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "process/recipe.h"
#include "process/stageplan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct emd_plan_facts facts = {.movie = "images/m.emd",
                                                .crystal = "20230611_2324",
                                                .trial = "P1",
                                                .mask = "pixels.mask",
                                                .nproc = 4};
    struct emd_recipe recipe;
    struct emd_stageplan plan;
    struct emd_error err = {0};
    enum emd_status status = emd_recipe_parse((const char *)data, size, &recipe, &err);
    if (status == EMD_OK) {
        check(recipe.stage_count > 0);
        emd_recipe_set(&recipe, "nproc", "3", &err);
        if (recipe.variable_count > 0)
            emd_recipe_set(&recipe, recipe.variables[0].name, "${project}/$$x${nproc}", &err);
        status = emd_stageplan_make(&recipe, &facts, &plan, &err);
        for (size_t i = 0; i < plan.count && status == EMD_OK; i++) {
            const struct emd_plan_stage *stage = &plan.stages[i];
            check(stage->command_count > 0 && stage->commands[0].count > 0);
            check(stage->outputs.count > 0 && stage->outputs.word[0][0] != '/' &&
                  strncmp(stage->outputs.word[0], "../", 3) != 0);
            for (size_t k = 0; k < stage->need_count; k++)
                check(stage->needs[k] < i);
        }
        emd_stageplan_free(&plan);
    } else {
        check(err.text[0] != '\0');
    }
    emd_recipe_free(&recipe);
    return 0;
}
