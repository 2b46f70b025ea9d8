/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
/* One panel an experiment: counts a bin above, I/sigma below, each with its threshold, and a strip
 * that shows what stays. Colours are told apart by everyone (Okabe and Ito's set). */
#include "emdblanks/blanksplot.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/safefile.h"

/* Pixels. */
enum {
    WIDTH = 960,
    LEFT = 76,
    RIGHT = 24,
    TITLE = 40,
    CHART = 150,
    GAP = 34,
    STRIP = 16,
    FOOT = 52
};
enum { PANEL = TITLE + CHART + GAP + CHART + GAP + STRIP + FOOT };
/* A reader scrolls through no more; the rest is in --json. */
enum { MOST_PANELS = 200 };

static const char *const colour[EMD_BLANK_ANALYSES] = {"#0072b2", "#56b4e9", "#d55e00", "#0072b2",
                                                       "#009e73"};

struct axes {
    double x0, per_image, y0, height, highest;
    long first;
};

static double x_of(const struct axes *a, double z)
{
    return a->x0 + (z - (double)(a->first - 1)) * a->per_image;
}

static double y_of(const struct axes *a, double value)
{
    double part = a->highest > 0 ? value / a->highest : 0;
    return a->y0 + a->height * (1 - fmin(fmax(part, 0), 1));
}

/* A step of 1, 2 or 5 times a power of ten that gives at most 'most' steps; 0 for ranges near the
 * smallest number. */
static double nice_step(double range, double most)
{
    double power = pow(10, floor(log10(range / most)));
    for (int i = 0; i < 3; i++) {
        static const double factors[] = {1, 2, 5};
        if (range / (power * factors[i]) <= most)
            return power * factors[i];
    }
    return power * 10;
}

static void put_escaped(FILE *f, const char *text)
{
    for (; *text; text++) {
        if (*text == '<' || *text == '>' || *text == '&' || *text == '"')
            fprintf(f, "&#%d;", *text);
        else if ((unsigned char)*text >= 0x20)
            putc(*text, f);
    }
}

static void draw_axis(FILE *f, const struct axes *a, const char *label)
{
    fprintf(f, "<text class=\"label\" x=\"%g\" y=\"%g\">%s</text>\n", a->x0, a->y0 - 6, label);
    if (a->highest > 0) {
        double step = nice_step(a->highest, 4);
        for (int i = 0; step > 0 && i * step <= a->highest * 1.0001; i++) {
            double v = i * step;
            fprintf(f,
                    "<line class=\"grid\" x1=\"%g\" x2=\"%d\" y1=\"%.2f\" y2=\"%.2f\"/>"
                    "<text class=\"tick\" x=\"%g\" y=\"%.2f\" text-anchor=\"end\">%g</text>\n",
                    a->x0, WIDTH - RIGHT, y_of(a, v), y_of(a, v), a->x0 - 6, y_of(a, v) + 4, v);
        }
    }
    fprintf(f, "<line class=\"axis\" x1=\"%g\" x2=\"%d\" y1=\"%g\" y2=\"%g\"/>\n", a->x0,
            WIDTH - RIGHT, a->y0 + a->height, a->y0 + a->height);
}

/* The bars of an analysis in the part [from, to] of each bin's width; blank ones are pale. */
static void draw_bars(FILE *f, const struct axes *a, const struct emd_blanks *b, const char *fill,
                      double from, double to)
{
    double width = (double)b->images / (double)b->bins;
    for (size_t i = 0; i < b->bins; i++) {
        double low = emd_blanks_low(b, i), top = y_of(a, b->value[i]);
        fprintf(f,
                "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"%s>"
                "<title>images %ld-%ld: %g%s</title></rect>\n",
                x_of(a, low + from * width), top, (to - from) * width * a->per_image,
                a->y0 + a->height - top, fill, b->blank[i] ? " fill-opacity=\"0.35\"" : "",
                emd_blanks_first(b, i), emd_blanks_last(b, i), b->value[i],
                b->blank[i] ? ", blank" : "");
    }
    if (b->informative)
        fprintf(f,
                "<line x1=\"%g\" x2=\"%d\" y1=\"%.2f\" y2=\"%.2f\" stroke=\"%s\" "
                "stroke-dasharray=\"6 4\"/>\n",
                a->x0, WIDTH - RIGHT, y_of(a, b->threshold), y_of(a, b->threshold), fill);
}

static void draw_charts(FILE *f, struct axes *a, const struct emd_blank_experiment *e)
{
    static const enum emd_blank_analysis charts[2][4] = {
        {EMD_BLANK_STRONG, EMD_BLANK_INDEXED, EMD_BLANK_ROBUST, EMD_BLANK_FRAMES},
        {EMD_BLANK_INTEGRATED}};
    static const char *const labels[] = {"spots a bin",
                                         "mean I/\xcf\x83 of integrated reflections"};
    for (int chart = 0; chart < 2; chart++) {
        int bars = chart == 0 ? 4 : 1, shown = 0, drawn = 0;
        a->highest = 0;
        for (int i = 0; i < bars; i++) {
            if (!e->done[charts[chart][i]])
                continue;
            shown++;
            a->highest = fmax(a->highest, e->blanks[charts[chart][i]].highest);
        }
        draw_axis(f, a, labels[chart]);
        for (int i = 0; i < bars; i++) {
            enum emd_blank_analysis analysis = charts[chart][i];
            if (!e->done[analysis])
                continue;
            draw_bars(f, a, &e->blanks[analysis], colour[analysis], 0.05 + 0.9 * drawn / shown,
                      0.05 + 0.9 * (drawn + 1) / shown);
            fprintf(f,
                    "<rect x=\"%d\" y=\"%g\" width=\"10\" height=\"10\" fill=\"%s\"/>"
                    "<text class=\"tick\" x=\"%d\" y=\"%g\">%s</text>\n",
                    360 + 110 * drawn, a->y0 - 15, colour[analysis], 374 + 110 * drawn, a->y0 - 6,
                    emd_blank_analysis_name(analysis));
            drawn++;
        }
        a->y0 += a->height + GAP;
    }
}

static void draw_panel(FILE *f, size_t number, const struct emd_blank_experiment *e, double top)
{
    double images = (double)(e->last - e->first + 1);
    struct axes a = {.x0 = LEFT,
                     .per_image = (WIDTH - LEFT - RIGHT) / images,
                     .y0 = top + TITLE,
                     .height = CHART,
                     .first = e->first};
    fprintf(f, "<text class=\"title\" x=\"%d\" y=\"%g\">Experiment %zu", LEFT, top + 14, number);
    if (*e->identifier) {
        fputs("  ", f);
        put_escaped(f, e->identifier);
    }
    fputs("</text>\n", f);
    for (size_t i = 0; i < e->run_count; i++)
        if (e->runs[i].kept)
            fprintf(f, "<rect class=\"kept\" x=\"%.2f\" y=\"%g\" width=\"%.2f\" height=\"%d\"/>\n",
                    x_of(&a, (double)(e->runs[i].first - 1)), a.y0,
                    (double)(e->runs[i].last - e->runs[i].first + 1) * a.per_image,
                    2 * CHART + 2 * GAP);
    draw_charts(f, &a, e);
    fprintf(f, "<rect class=\"strip\" x=\"%d\" y=\"%g\" width=\"%d\" height=\"%d\"/>\n", LEFT, a.y0,
            WIDTH - LEFT - RIGHT, STRIP);
    for (size_t i = 0; i < e->run_count; i++) {
        const struct emd_blank_run *run = &e->runs[i];
        fprintf(f,
                "<rect x=\"%.2f\" y=\"%g\" width=\"%.2f\" height=\"%d\" fill=\"%s\">"
                "<title>images %ld-%ld: %llu reflections, %s</title></rect>\n",
                x_of(&a, (double)(run->first - 1)), a.y0,
                (double)(run->last - run->first + 1) * a.per_image, STRIP,
                run->kept ? "#009e73" : "#e69f00", run->first, run->last,
                (unsigned long long)run->rows, run->kept ? "kept" : "not blank, left out");
    }
    double step = fmax(nice_step(images, 12), 1);
    double tick = ceil((double)e->first / step);
    for (int i = 0; (tick + i) * step <= (double)e->last; i++) {
        double v = (tick + i) * step;
        fprintf(f, "<text class=\"tick\" x=\"%.2f\" y=\"%g\" text-anchor=\"middle\">%.0f</text>\n",
                x_of(&a, v - 0.5), a.y0 + STRIP + 16, v);
    }
    fprintf(f,
            "<text class=\"label\" x=\"%d\" y=\"%g\" text-anchor=\"middle\">image (green: kept, "
            "orange: not blank but left out, grey: blank; dashed: thresholds)</text>\n",
            (LEFT + WIDTH - RIGHT) / 2, a.y0 + STRIP + 36);
}

enum emd_status blanksplot_write(const struct emd_blank_report *report, const char *path,
                                 struct emd_error *err)
{
    struct emd_safefile *file;
    size_t panels = report->experiment_count < MOST_PANELS ? report->experiment_count : MOST_PANELS;
    enum emd_status status = emd_safefile_create(path, &file, err);
    if (status != EMD_OK)
        return status;
    int fd = dup(emd_safefile_fd(file));
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f) {
        status = emd_fail_errno(err, EMD_E_IO, errno, "%s: cannot write", path);
        if (fd >= 0)
            close(fd);
        emd_safefile_discard(file);
        return status;
    }
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%zu\" "
            "viewBox=\"0 0 %d %zu\" font-family=\"sans-serif\">\n"
            "<style>.title{font-size:15px;font-weight:bold}.label{font-size:12px}"
            ".tick{font-size:11px;fill:#444}.grid{stroke:#ddd}.axis{stroke:#444}"
            ".kept{fill:#009e73;fill-opacity:0.08}.strip{fill:#bbb}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            WIDTH, panels * PANEL + 16, WIDTH, panels * PANEL + 16);
    for (size_t i = 0; i < panels; i++)
        draw_panel(f, i, &report->experiments[i], 16 + (double)(i * PANEL));
    fputs("</svg>\n", f);
    bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed) {
        status = emd_fail_errno(err, EMD_E_IO, errno, "%s: cannot write", path);
        emd_safefile_discard(file);
        return status;
    }
    return emd_safefile_commit(&file, 1, true, err);
}
