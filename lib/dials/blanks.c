/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026, the emdtools developers */
#include "dials/blanks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/median.h"

/* scitbx::constants::pi_180, as scitbx computes it. */
static double degrees(double rad)
{
    return rad / (atan(1.0) / 45.0);
}

static double angle(const struct emd_scan *scan, double z)
{
    return degrees(scan->start + (z + 1 - (double)scan->first) * scan->width);
}

/* Number of bins for the angles from z = low to high. Always 1 .. images. */
static size_t bin_count(const struct emd_scan *scan, double phi_step, double low, double high)
{
    double images = (double)(scan->last - scan->first + 1);
    double width = degrees(scan->width);
    double step = fmax(ceil(phi_step / fabs(width)), 1) * width;
    double bins = rint((angle(scan, high) - angle(scan, low)) / step); /* half to even, as Python */
    return bins >= 1 ? (size_t)fmin(bins, images) : 1;
}

static enum emd_status make_bins(const struct emd_scan *scan, size_t bins, struct emd_blanks *out,
                                 struct emd_error *err)
{
    out->first = scan->first;
    out->images = (size_t)(scan->last - scan->first + 1);
    out->bins = bins;
    out->value = calloc(bins, sizeof *out->value);
    out->blank = calloc(bins, sizeof *out->blank);
    if (!out->value || !out->blank) {
        emd_blanks_free(out);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    return EMD_OK;
}

void emd_blanks_free(struct emd_blanks *blanks)
{
    free(blanks->value);
    free(blanks->blank);
    memset(blanks, 0, sizeof *blanks);
}

static void find_highest(struct emd_blanks *blanks)
{
    blanks->highest = blanks->value[0];
    for (size_t i = 1; i < blanks->bins; i++)
        blanks->highest = fmax(blanks->highest, blanks->value[i]);
    blanks->informative = blanks->highest > 0 && isfinite(blanks->highest);
}

enum emd_status emd_blanks_counts(const struct emd_scan *scan, double phi_step, double loss,
                                  const double *z, const double *weight, size_t n,
                                  struct emd_blanks *out, struct emd_error *err)
{
    double low = (double)(scan->first - 1), high = (double)scan->last;
    memset(out, 0, sizeof *out);
    enum emd_status status = make_bins(scan, bin_count(scan, phi_step, low, high), out, err);
    if (status != EMD_OK)
        return status;
    double width = (high - low) / (double)out->bins;
    for (size_t i = 0; i < n; i++) {
        if (!(z[i] >= low && z[i] <= high))
            continue;
        size_t bin = (size_t)((z[i] - low) / width);
        out->value[bin < out->bins ? bin : out->bins - 1] += weight ? weight[i] : 1;
        out->used++;
    }
    find_highest(out);
    out->threshold = loss * out->highest;
    for (size_t i = 0; i < out->bins && out->informative; i++)
        out->blank[i] = out->value[i] / out->highest <= loss;
    return EMD_OK;
}

enum emd_status emd_blanks_isigma(const struct emd_scan *scan, double phi_step, double loss,
                                  const double *z, const double *isigma, size_t n,
                                  struct emd_blanks *out, struct emd_error *err)
{
    double low = (double)(scan->first - 1), high = (double)scan->last;
    double least = high, most = low;
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        if (!(z[i] >= low && z[i] <= high))
            continue;
        least = z[i] < least ? z[i] : least;
        most = z[i] > most ? z[i] : most;
    }
    /* DIALS takes the number of bins from the angles of the reflections, their extent from the
     * scan. */
    enum emd_status status =
        make_bins(scan, most > least ? bin_count(scan, phi_step, least, most) : 1, out, err);
    if (status != EMD_OK)
        return status;
    size_t *rows = calloc(out->bins, sizeof *rows);
    if (!rows) {
        emd_blanks_free(out);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    double width = (high - low) / (double)out->bins;
    for (size_t i = 0; i < n; i++) {
        if (!(z[i] >= low && z[i] <= high))
            continue;
        /* The bounds that DIALS compares with can differ from the quotient by a rounding. */
        size_t bin = (size_t)((z[i] - low) / width);
        if (bin > 0 && z[i] < low + width * (double)bin)
            bin--;
        else if (z[i] >= low + width * (double)(bin + 1))
            bin++;
        if (bin >= out->bins)
            continue;
        out->value[bin] += isigma[i];
        rows[bin]++;
        out->used++;
    }
    for (size_t i = 0; i < out->bins; i++)
        if (rows[i] > 0)
            out->value[i] *= 1 / (double)rows[i]; /* as scitbx's mean() rounds */
    free(rows);
    find_highest(out);
    out->threshold = loss * out->highest;
    for (size_t i = 0; i < out->bins && out->informative; i++)
        out->blank[i] = out->value[i] <= out->threshold;
    return EMD_OK;
}

/* Of the rate of spots in the better bins, a blank image has less than lost_rate and a lit one more
 * than kept_rate: a single image is judged blank below (kept - lost) / ln(kept / lost) = 0.154 of
 * the rate, near the tenth that DIALS takes. The reference is not the fullest bin, which an ice
 * ring or a zone axis can raise, but the 80th percentile. A change of state costs switch_cost (its
 * probability is e^-4, once in 55 images), so that a blank range needs some images with nothing.
 * These four were chosen on simulated movies (bench/blanks_truth.py) and are flat around. */
static const double lost_rate = 0.05, kept_rate = 0.35, reference_rank = 0.8, switch_cost = 4;

/* Spots an image in the better bins of the usual width. */
static double reference_rate(const struct emd_scan *scan, double phi_step,
                             const struct emd_blanks *images, double *scratch)
{
    double low = (double)(scan->first - 1), high = (double)scan->last;
    size_t bins = bin_count(scan, phi_step, low, high), n = images->bins;
    for (size_t i = 0; i < bins; i++) {
        size_t from = i * n / bins, to = (i + 1) * n / bins;
        scratch[i] = 0;
        for (size_t k = from; k < to; k++)
            scratch[i] += images->value[k];
        scratch[i] /= (double)(to - from);
    }
    qsort(scratch, bins, sizeof *scratch, emd_compare_doubles);
    size_t rank = (size_t)(reference_rank * (double)bins);
    return scratch[rank < bins ? rank : bins - 1];
}

/* Viterbi's algorithm: the course of states with the highest likelihood. came[2 i + s] is the state
 * of image i - 1 on the best way to state s (1: lit) of image i. */
static void likeliest_states(struct emd_blanks *b, double rate, unsigned char *came)
{
    const double mean[2] = {lost_rate * rate, kept_rate * rate};
    double score[2] = {0, 0};
    for (size_t i = 0; i < b->bins; i++) {
        double next[2];
        for (unsigned s = 0; s < 2; s++) {
            bool stays = score[s] >= score[1 - s] - switch_cost;
            came[2 * i + s] = (unsigned char)(stays ? s : 1 - s);
            next[s] = (stays ? score[s] : score[1 - s] - switch_cost) + b->value[i] * log(mean[s]) -
                      mean[s];
        }
        score[0] = next[0];
        score[1] = next[1];
    }
    unsigned state = score[1] >= score[0];
    for (size_t i = b->bins; i-- > 0;) {
        b->blank[i] = state == 0;
        state = came[2 * i + state];
    }
}

enum emd_status emd_blanks_robust(const struct emd_scan *scan, double phi_step, const double *z,
                                  size_t n, struct emd_blanks *out, struct emd_error *err)
{
    double low = (double)(scan->first - 1), high = (double)scan->last;
    memset(out, 0, sizeof *out);
    enum emd_status status = make_bins(scan, (size_t)(scan->last - scan->first + 1), out, err);
    if (status != EMD_OK)
        return status;
    double *scratch = malloc(out->bins * sizeof *scratch);
    unsigned char *came = malloc(2 * out->bins);
    if (!scratch || !came) {
        free(scratch);
        free(came);
        emd_blanks_free(out);
        return emd_fail(err, EMD_E_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        if (!(z[i] >= low && z[i] < high))
            continue;
        out->value[(size_t)(z[i] - low)]++;
        out->used++;
    }
    find_highest(out);
    double rate = reference_rate(scan, phi_step, out, scratch);
    out->informative = rate > 0;
    out->threshold = (kept_rate - lost_rate) / log(kept_rate / lost_rate) * rate;
    if (out->informative)
        likeliest_states(out, rate, came);
    free(scratch);
    free(came);
    return EMD_OK;
}

long emd_blanks_first(const struct emd_blanks *blanks, size_t bin)
{
    return blanks->first + (long)(bin * blanks->images / blanks->bins);
}

long emd_blanks_last(const struct emd_blanks *blanks, size_t bin)
{
    return blanks->first - 1 +
           (long)(((bin + 1) * blanks->images + blanks->bins - 1) / blanks->bins);
}

double emd_blanks_low(const struct emd_blanks *blanks, size_t bin)
{
    return (double)(blanks->first - 1) +
           (double)blanks->images / (double)blanks->bins * (double)bin;
}

bool emd_blanks_region(const struct emd_blanks *blanks, size_t *bin, long *first, long *last)
{
    size_t i = *bin;
    while (i < blanks->bins && !blanks->blank[i])
        i++;
    if (i >= blanks->bins)
        return false;
    *first = emd_blanks_first(blanks, i);
    while (i < blanks->bins && blanks->blank[i])
        i++;
    *last = emd_blanks_last(blanks, i - 1);
    *bin = i;
    return true;
}
