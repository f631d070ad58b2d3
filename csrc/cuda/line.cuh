// Part A of the reputation rule on one column, as docs and NumPy's backend have it: the rescale (A.1), the repeated-
// median line (A.3), residuals and confidences (A.4 to A.7). In the compute type.
#pragma once

#include "cuda/slopes.cuh"

enum Rescaling { never, paper, clip };
enum Intercept { separate, hierarchical, median_point };

// --- A.1 ------------------------------------------------------------------------------------------------------------

// What becomes of a column's values when it spans too much.
struct Rescale {
    int mode;
    Compute low, high, new_low, new_high;

    RA_DEVICE Compute operator()(Compute v) const { return mode == clip ? clipped(v) : moved(v); }
    RA_DEVICE Compute clipped(Compute v) const { return upper(new_low, lower(v, new_high)); }
    RA_DEVICE Compute moved(Compute v) const { return v == high ? new_high : v == low ? new_low : v; }
};

// Population standard deviation, in units of the column's range, so that no square overflows or is lost.
RA_DEVICE Compute deviation(const Compute* v, int n, Compute low, Compute scale) {
    Compute mean = 0, sum = 0;
    RA_UNROLL
    for (int i = 0; i < n; ++i) mean += v[i] * scale - low * scale;
    mean *= Compute(1) / Compute(n);
    RA_UNROLL
    for (int i = 0; i < n; ++i) {
        const Compute difference = v[i] * scale - low * scale - mean;
        sum += difference * difference;
    }
    return root(sum / Compute(n)) / scale;
}

// Of a column from `low` to `high`, that it is left alone, and whether it is to be.
RA_DEVICE Rescale unchanged(int n, int mode, Compute low, Compute high) {
    return {n < 3 ? never : mode, low, high, low, high};
}
RA_DEVICE bool spans_more(const Rescale& rule, double range) {
    const Compute half = rule.high * Compute(0.5) - rule.low * Compute(0.5);
    return rule.mode != never && static_cast<double>(half) > range / 2;
}
RA_DEVICE void clip_around(Rescale& rule, double centre, double range) {
    rule.new_low = upper(rule.low, static_cast<Compute>(centre - range / 2));
    rule.new_high = lower(rule.high, static_cast<Compute>(centre + range / 2));
}

// The rule for a column in any order.
RA_DEVICE Rescale rescale_of(const Compute* v, int n, int mode, double range) {
    Compute low = v[0], high = v[0];
    RA_UNROLL
    for (int i = 1; i < n; ++i) {
        low = lower(low, v[i]);
        high = upper(high, v[i]);
    }
    Rescale found = unchanged(n, mode, low, high);
    if (!spans_more(found, range)) return found;
    if (mode == clip) {
        Compute order[capacity];
        RA_UNROLL
        for (int i = 0; i < n; ++i) order[i] = v[i];
        clip_around(found, middle(order, n), range);
    } else {
        const Compute sigma = deviation(v, n, low, Compute(0.5) / (high * Compute(0.5) - low * Compute(0.5)));
        found.new_low = low + sigma;
        found.new_high = high - sigma;
    }
    return found;
}

// Rescale a column and bring it in order: clipping keeps the order, and so it can wait for the median.
RA_DEVICE Rescale rescale_and_sort(Compute* v, int n, int mode, double range) {
    Rescale found;
    if (mode != clip) {
        found = rescale_of(v, n, mode, range);
        RA_UNROLL
        for (int i = 0; i < n; ++i) v[i] = found.moved(v[i]);
    }
    sort(v, n);
    if (mode == clip) {
        found = unchanged(n, mode, v[0], v[n - 1]);
        if (spans_more(found, range)) clip_around(found, halfway(v[(n - 1) / 2], v[n / 2]), range);
        RA_UNROLL
        for (int i = 0; i < n; ++i) v[i] = found.clipped(v[i]);
    }
    return found;
}

// --- A.3 ------------------------------------------------------------------------------------------------------------

struct Line {
    Compute slope, start;
};

// A sorted column on its way through the arithmetic: centred on its lower middle value, so that a large common offset
// costs no digits, and, where it is huge, times a power of two that keeps squares and differences finite.
struct Column {
    Compute z[capacity], unit, centre;

    RA_DEVICE Column(const Compute* sorted, int n) {
        const Compute size = upper(absolute(sorted[0]), absolute(sorted[n - 1]));
        unit = size > Compute(single ? 0x1p100 : 0x1p500) ? Compute(single ? 0x1p-64 : 0x1p-600) : Compute(1);
        centre = sorted[(n - 1) / 2];
        RA_UNROLL
        for (int i = 0; i < n; ++i) z[i] = sorted[i] * unit - centre * unit;
    }

    // The number that stands at a value of z, clamped to the largest.
    RA_DEVICE Compute as_sent(double value) const {
        const double scale = unit, sent = value + static_cast<double>(centre) * scale;
        return static_cast<Compute>(clamped(sent, largest * scale) / scale);
    }
};

RA_DEVICE Line line_of(const Compute* z, int n, int intercept, const Compute* gaps) {
    Compute slopes[capacity], work[capacity];
    median_slopes(z, n, gaps, slopes);
    RA_UNROLL
    for (int i = 0; i < n; ++i) work[i] = slopes[i];
    const Compute slope = middle(work, n);
    if (intercept == median_point) return {slope, halfway(z[(n - 1) / 2], z[n / 2]) - slope * (Compute(n - 1) / 2)};
    RA_UNROLL
    for (int i = 0; i < n; ++i) work[i] = z[i] - Compute(i) * (intercept == separate ? slopes[i] : slope);
    return {slope, middle(work, n)};
}

// --- A.4 to A.7 -----------------------------------------------------------------------------------------------------

struct Judging {
    const Compute* gaps;
    const Compute* bounds;  // Z sqrt(2 / n) sqrt(1 - h_i): times tau, the largest residual of full confidence
    int intercept, leave_smallest;
    double scale_floor;
};

// The median residual; without the smallest where that is asked for, which needs them all in order.
RA_DEVICE Compute scale_of(Compute* residuals, int n, int leave_smallest) {
    if (!leave_smallest) return middle(residuals, n);
    sort(residuals, n);
    return halfway(residuals[n / 2], residuals[(n + 1) / 2]);
}

// How far the ranks of a sorted column lie from its line, which is that of column.z, and what they are held against.
struct Residuals {
    Line line;
    Compute tau;

    RA_DEVICE Residuals(const Column& column, int n, const Judging& rule, Compute* residual)
        : line(line_of(column.z, n, rule.intercept, rule.gaps)) {
        Compute work[capacity];
        RA_UNROLL
        for (int i = 0; i < n; ++i) {
            residual[i] = absolute(column.z[i] - line.start - line.slope * Compute(i));
            work[i] = residual[i];
        }
        const double factor = 1.4826 * (1 + 5.0 / (n - 1));
        const double scale = scale_of(work, n, rule.leave_smallest);
        tau = static_cast<Compute>(factor * scale + rule.scale_floor * column.unit);
    }
};

// Equal values of a sorted column share the highest of what their ranks have.
RA_DEVICE void share_highest(const Compute* sorted, int n, Compute* found) {
    bool equal = false;
    RA_UNROLL
    for (int i = 1; i < n; ++i) equal |= sorted[i] == sorted[i - 1];
    if (!equal) return;
    RA_UNROLL
    for (int i = 1; i < n; ++i)
        if (sorted[i] == sorted[i - 1]) found[i] = upper(found[i], found[i - 1]);
    RA_UNROLL
    for (int i = n - 2; i >= 0; --i)
        if (sorted[i] == sorted[i + 1]) found[i] = upper(found[i], found[i + 1]);
}

// Confidences of the ranks of a sorted column.
RA_DEVICE Line judge(const Compute* sorted, int n, const Column& column, const Judging& rule, Compute* confidence) {
    const Residuals residuals(column, n, rule, confidence);
    RA_UNROLL
    for (int i = 0; i < n; ++i) {
        const Compute ratio = rule.bounds[i] * residuals.tau / confidence[i];
        confidence[i] = ratio < 1 ? ratio : Compute(1);  // also 0 / 0
    }
    share_highest(sorted, n, confidence);
    return residuals.line;
}

// What a rank has, for a value of the column.
RA_DEVICE Compute of_value(Compute v, const Compute* sorted, const Compute* found, int n) {
    Compute own = 1;
    RA_UNROLL
    for (int i = 0; i < n; ++i) own = sorted[i] == v ? found[i] : own;
    return own;
}

// The lowest and the highest value of a column that are accepted, and whether one between them is not.
struct Accepted {
    Compute low, high;
    bool hole;

    RA_DEVICE bool holds(Compute value) const { return low <= value && value <= high; }
};

// Of the residuals of its ranks, which become what each has to spare: a confidence is below the threshold where that is
// negative.
RA_DEVICE Accepted accepted_of(const Compute* sorted, Compute* spare, int n, const Compute* bounds, Compute tau,
                               Compute threshold) {
    RA_UNROLL
    for (int i = 0; i < n; ++i) spare[i] = bounds[i] * tau - threshold * spare[i];
    share_highest(sorted, n, spare);
    Accepted found = {static_cast<Compute>(largest), static_cast<Compute>(largest), false};
    bool seen = false, left = false;
    RA_UNROLL
    for (int i = 0; i < n; ++i) {
        const bool accepted = spare[i] >= 0;
        found.low = accepted && !seen ? sorted[i] : found.low;
        found.high = accepted ? sorted[i] : found.high;
        found.hole |= accepted && left;
        seen |= accepted;
        left |= seen && !accepted;
    }
    return found;
}
