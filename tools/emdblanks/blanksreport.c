/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "emdblanks/blanksreport.h"

#include <inttypes.h>
#include <math.h>

#include "common/jsontext.h"

static void put_bins(FILE *out, const struct emd_blanks *b)
{
    for (size_t i = 0; i < b->bins; i++)
        fprintf(out, "  images %ld -> %ld: %.6g%s\n", emd_blanks_first(b, i), emd_blanks_last(b, i),
                b->value[i], b->blank[i] ? " blank" : "");
}

static void put_experiment(FILE *out, const struct emd_blank_experiment *e, bool bins)
{
    for (int a = 0; a < EMD_BLANK_ANALYSES; a++) {
        /* DIALS reports the strong ones always, the others if there are any. */
        if (e->analysed[a] == 0 && (a != EMD_BLANK_STRONG || e->done[EMD_BLANK_ROBUST]))
            continue;
        if (a == EMD_BLANK_ROBUST)
            fprintf(out, "Analysis of %" PRIu64 " strong reflections by image:\n", e->analysed[a]);
        else if (a == EMD_BLANK_FRAMES)
            fprintf(out, "Analysis of %" PRIu64 " frames:\n", e->analysed[a]);
        else
            fprintf(out, "Analysis of %" PRIu64 " %s reflections:\n", e->analysed[a],
                    emd_blank_analysis_name((enum emd_blank_analysis)a));
        if (bins && e->done[a])
            put_bins(out, &e->blanks[a]);
        long first, last;
        for (size_t bin = 0; e->done[a] && emd_blanks_region(&e->blanks[a], &bin, &first, &last);)
            fprintf(out, "Potential blank images: %ld -> %ld\n", first, last);
    }
    for (size_t i = 0; i < e->run_count; i++)
        fprintf(out, "%s images: %ld -> %ld (%" PRIu64 " reflections)\n",
                e->runs[i].kept ? "Kept" : "Left out", e->runs[i].first, e->runs[i].last,
                e->runs[i].rows);
    if (e->run_count == 0)
        fputs("No image is kept.\n", out);
}

void blanks_report_text(FILE *out, const struct emd_blank_report *report, bool bins)
{
    for (size_t i = 0; i < report->experiment_count; i++) {
        const struct emd_blank_experiment *e = &report->experiments[i];
        if (report->experiment_count > 1)
            fprintf(out, "Experiment %zu, images %ld -> %ld:\n", i, e->first, e->last);
        put_experiment(out, e, bins);
    }
}

static void put_json_string(const char *text)
{
    emd_json_print(emd_json_text(text));
}

/* JSON has no word for what the sum of huge intensities can become. */
static void put_json_number(double value)
{
    if (isfinite(value))
        printf("%.17g", value);
    else
        fputs("null", stdout);
}

static void put_json_analysis(const struct emd_blank_experiment *e, enum emd_blank_analysis a)
{
    const struct emd_blanks *b = &e->blanks[a];
    printf("{\"reflections\": %" PRIu64 ", \"threshold\": ", e->analysed[a]);
    put_json_number(b->informative ? b->threshold : 0);
    fputs(", \"bins\": [", stdout);
    for (size_t i = 0; i < b->bins; i++) {
        printf("%s{\"first\": %ld, \"last\": %ld, \"value\": ", i ? ", " : "",
               emd_blanks_first(b, i), emd_blanks_last(b, i));
        put_json_number(b->value[i]);
        printf(", \"blank\": %s}", b->blank[i] ? "true" : "false");
    }
    fputs("], \"blank\": [", stdout);
    long first, last;
    const char *comma = "";
    for (size_t bin = 0; emd_blanks_region(b, &bin, &first, &last); comma = ", ")
        printf("%s[%ld, %ld]", comma, first, last);
    fputs("]}", stdout);
}

void blanks_report_json(const struct blanks_arguments *args, const struct emd_blank_report *report)
{
    const struct emd_blankfilter_options *o = &args->filter;
    printf("{\"format\": \"emdblanks/1\", \"phi_step\": %.17g, \"counts_fractional_loss\": %.17g, "
           "\"misigma_fractional_loss\": %.17g,\n \"rows\": %" PRIu64 ", \"kept_rows\": %" PRIu64
           ", \"kept_experiments\": %zu,\n \"experiments\": [",
           o->phi_step, o->counts_loss, o->misigma_loss, report->rows, report->kept_rows,
           report->kept);
    for (size_t i = 0; i < report->experiment_count; i++) {
        const struct emd_blank_experiment *e = &report->experiments[i];
        printf("%s\n  {\"identifier\": ", i ? "," : "");
        put_json_string(e->identifier);
        printf(", \"first\": %ld, \"last\": %ld, \"rows\": %" PRIu64 ", \"outside_scan\": %" PRIu64
               ", \"unusable\": %" PRIu64,
               e->first, e->last, e->rows, e->outside, e->unusable);
        for (int a = 0; a < EMD_BLANK_ANALYSES; a++) {
            if (!e->done[a])
                continue;
            printf(",\n   \"%s\": ", emd_blank_analysis_name((enum emd_blank_analysis)a));
            put_json_analysis(e, (enum emd_blank_analysis)a);
        }
        fputs(",\n   \"runs\": [", stdout);
        for (size_t r = 0; r < e->run_count; r++) {
            const struct emd_blank_run *run = &e->runs[r];
            printf("%s{\"first\": %ld, \"last\": %ld, \"reflections\": %" PRIu64 ", \"kept\": %s",
                   r ? ", " : "", run->first, run->last, run->rows, run->kept ? "true" : "false");
            if (run->kept) {
                printf(", \"experiment\": %zu, \"identifier\": ", run->experiment);
                put_json_string(run->identifier);
            }
            putchar('}');
        }
        fputs("]}", stdout);
    }
    puts("\n ]}");
}
