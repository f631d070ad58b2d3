// Part A of the reputation rule, as detect.cu has it, for more clients than a thread has registers to spare: a block of
// threads takes some neighbouring columns, and each of its warps the slopes of other rows.
#include "cuda/line.cuh"

#if defined(RA_FEW)

constexpr int wide_threads = 128;
constexpr int width = RA_FEW * sizeof(Compute) <= 480 ? 32 : 16;  // columns of a block: they take 48 KiB at most
constexpr int groups = wide_threads / width;
using Columns = Compute[RA_FEW][width];

// The repeated median of row i's slopes. Its slope to itself, zero, is the least of them: no slope of a sorted column is
// negative.
RA_DEVICE Compute slope_of(const Columns& z, int c, int i, const Compute* gaps) {
    Compute v[RA_FEW];
    const Compute own = z[i][c], *const gap = gaps + RA_FEW - 1 - i;
    RA_UNROLL
    for (int k = 0; k < RA_FEW; ++k) v[k] = (z[k][c] - own) * gap[k];
    RA_MIDDLE_BUT_LEAST(RA_EXCHANGE)
    return RA_FEW % 2 == 0 ? v[RA_FEW / 2] : halfway(v[RA_FEW / 2], v[RA_FEW / 2 + 1]);
}

// From slopes to residuals, in their place, and their scale.
RA_DEVICE Compute residuals_of(const Columns& z, Columns& found, int c, const Judging& rule, double unit) {
    Compute slope = 0, start = 0, scale = 0;
    RA_ROLLED
    for (int step = 0; step < 3; ++step) {  // one after the other, by the same network
        Compute v[RA_FEW];
        RA_UNROLL
        for (int k = 0; k < RA_FEW; ++k) {
            const Compute own = found[k][c], fitted = step == 2 || rule.intercept != separate ? slope : own;
            v[k] = step == 0 ? own : z[k][c] - (step == 2 ? start : 0) - Compute(k) * fitted;
            if (step == 2) found[k][c] = v[k] = absolute(v[k]);
        }
        const Compute median = middle(v, RA_FEW);
        if (step == 0) slope = median;
        if (step == 1)
            start = rule.intercept == median_point
                        ? halfway(z[(RA_FEW - 1) / 2][c], z[RA_FEW / 2][c]) - slope * (Compute(RA_FEW - 1) / 2)
                        : median;
        scale = median;
    }
    const double factor = 1.4826 * (1 + 5.0 / (RA_FEW - 1));
    return static_cast<Compute>(factor * scale + rule.scale_floor * unit);
}

RA_KERNEL RA_RESIDENT(wide_threads, RA_FEW <= 64 ? 5 : RA_FEW <= 100 ? 4 : RA_FEW <= 130 ? 3 : 2)
detect_wide(RA_ROWS, const Compute* gaps, const Compute* bounds, int mode, double range, int intercept,
                      double scale_floor, double threshold, u8* rejected, Compute* median) {
    RA_SHARED Columns sorted, z, found;
    RA_SHARED Rescale rescale[width];
    RA_SHARED Accepted accepted[width];
    RA_SHARED Compute unit[width];
    const Judging rule = {gaps, bounds, intercept, 0, scale_floor};
    const i64 bytes = (d + 7) / 8;
    RA_EACH_BLOCK(b, (d + width - 1) / width) {
        const int group = static_cast<int>(b % groups);  // of the threads that have a column each: not always the same
        RA_BARRIER;
        RA_EACH_THREAD(t, wide_threads) {
            const int c = t % width;
            const i64 j = b * width + c < d ? b * width + c : d - 1;
            if (t / width != group) continue;
            Compute v[RA_FEW];
            if (!load(rows, RA_FEW, j, v)) *odd = 1;
            rescale[c] = rescale_and_sort(v, RA_FEW, mode, range);
            const Column column(v, RA_FEW);
            unit[c] = column.unit;
            RA_UNROLL
            for (int i = 0; i < RA_FEW; ++i) {
                sorted[i][c] = v[i];
                z[i][c] = column.z[i];
            }
        }
        RA_BARRIER;
        RA_EACH_THREAD(t, wide_threads) {
            const int c = t % width;
            RA_ROLLED
            for (int i = t / width; i < RA_FEW; i += groups) found[i][c] = slope_of(z, c, i, gaps);
        }
        RA_BARRIER;
        RA_EACH_THREAD(t, wide_threads) {
            const int c = t % width;
            if (t / width != group) continue;
            const Compute tau = residuals_of(z, found, c, rule, unit[c]), least = static_cast<Compute>(threshold);
            accepted[c] = accepted_of<width>(&sorted[0][c], &found[0][c], RA_FEW, bounds, tau, least);
            const i64 j = b * width + c;
            if (j < d) median[j] = halfway(sorted[(RA_FEW - 1) / 2][c], sorted[RA_FEW / 2][c]) + Compute(0);
        }
        RA_BARRIER;
        RA_EACH_THREAD(t, wide_threads) {
            const int c = t % width;
            const i64 j = b * width + c, own = j < d ? j : d - 1;
            for (int i = t / width; i < (RA_FEW + groups - 1) / groups * groups; i += groups) {  // a warp stays together
                const int row = i < RA_FEW ? i : RA_FEW - 1;
                const Compute value = rescale[c](widened(rows[row][own]));
                bool out = !accepted[c].holds(value);
                if (accepted[c].hole && !out) out = of_value<width>(value, &sorted[0][c], &found[0][c], RA_FEW) < 0;
                put_bit(rejected + row * bytes, i < RA_FEW ? j : d, d, out);
            }
        }
    }
}

#endif
