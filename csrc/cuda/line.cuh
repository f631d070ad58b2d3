// Part A of the reputation rule on one column, as docs and NumPy's backend have it: the rescale (A.1), the repeated-
// median line (A.3), residuals and confidences (A.4 to A.7). In the compute type.
#pragma once

#include "cuda/order.cuh"

enum Rescaling { never, paper, clip };
enum Intercept { separate, hierarchical, median_point };

// --- A.1 ------------------------------------------------------------------------------------------------------------

// What becomes of a column's values when it spans too much.
struct Rescale {
    int mode;
    Compute low, high, new_low, new_high;

    RA_DEVICE Compute operator()(Compute v) const {
        if (mode == clip) return upper(new_low, lower(v, new_high));
        return v == high ? new_high : v == low ? new_low : v;
    }
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

// The rule for a column in any order.
RA_DEVICE Rescale rescale_of(const Compute* v, int n, int mode, double range) {
    if (n < 3) mode = never;
    Rescale found = {mode, v[0], v[0], 0, 0};
    RA_UNROLL
    for (int i = 1; i < n; ++i) {
        found.low = lower(found.low, v[i]);
        found.high = upper(found.high, v[i]);
    }
    found.new_low = found.low;
    found.new_high = found.high;
    const Compute half = found.high * Compute(0.5) - found.low * Compute(0.5);
    if (mode == never || !(static_cast<double>(half) > range / 2)) return found;
    if (mode == clip) {
        Compute order[capacity];
        RA_UNROLL
        for (int i = 0; i < n; ++i) order[i] = v[i];
        const double centre = middle(order, n);
        found.new_low = upper(found.low, static_cast<Compute>(centre - range / 2));
        found.new_high = lower(found.high, static_cast<Compute>(centre + range / 2));
    } else {
        const Compute sigma = deviation(v, n, found.low, Compute(0.5) / half);
        found.new_low = found.low + sigma;
        found.new_high = found.high - sigma;
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

// gaps[n - 1 + k] = 1 / k, for k from 1 - n to n - 1.
RA_DEVICE Line line_of(const Compute* z, int n, int intercept, const Compute* gaps) {
    Compute slopes[capacity], work[capacity];
    for (int i = 0; i < n; ++i) {
        RA_UNROLL
        for (int k = 0; k < n - 1; ++k) {
            const int other = k + (k >= i);
            work[k] = (z[other] - z[i]) * gaps[n - 1 + other - i];
        }
        slopes[i] = n > 1 ? middle_of_others(work, n) : Compute(0);
    }
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

// Confidences of the ranks of a sorted column; equal values share the highest of theirs. The line is that of column.z.
RA_DEVICE Line judge(const Compute* sorted, int n, const Column& column, const Judging& rule, Compute* confidence) {
    const Line line = line_of(column.z, n, rule.intercept, rule.gaps);
    Compute work[capacity];
    RA_UNROLL
    for (int i = 0; i < n; ++i) {
        confidence[i] = absolute(column.z[i] - line.start - line.slope * Compute(i));
        work[i] = confidence[i];
    }
    const double factor = 1.4826 * (1 + 5.0 / (n - 1));
    const double scale = scale_of(work, n, rule.leave_smallest);
    const Compute tau = static_cast<Compute>(factor * scale + rule.scale_floor * column.unit);
    RA_UNROLL
    for (int i = 0; i < n; ++i) {
        const Compute ratio = rule.bounds[i] * tau / confidence[i];
        confidence[i] = ratio < 1 ? ratio : Compute(1);  // also 0 / 0
    }
    RA_UNROLL
    for (int i = 1; i < n; ++i)
        if (sorted[i] == sorted[i - 1]) confidence[i] = upper(confidence[i], confidence[i - 1]);
    RA_UNROLL
    for (int i = n - 2; i >= 0; --i)
        if (sorted[i] == sorted[i + 1]) confidence[i] = upper(confidence[i], confidence[i + 1]);
    return line;
}

// The confidence of a value of the column.
RA_DEVICE Compute of_value(Compute v, const Compute* sorted, const Compute* confidence, int n) {
    Compute found = 1;
    RA_UNROLL
    for (int i = 0; i < n; ++i) found = sorted[i] == v ? confidence[i] : found;
    return found;
}
