// Part A of the reputation rule: a bit for each value whose confidence is below the threshold, and the median of each
// rescaled column, a zero being positive. Rejections are counted by a second pass over the bits.
#include "cuda/line.cuh"

// The lowest and the highest value accepted, and whether one between them is not.
struct Accepted {
    Compute low, high;
    bool hole;

    RA_DEVICE Accepted(const Compute* sorted, const Compute* confidence, int n, Compute threshold)
        : low(sorted[0]), high(sorted[n - 1]), hole(false) {
        if (n < 3) return;
        bool seen = false;
        high = low = static_cast<Compute>(largest);
        RA_UNROLL
        for (int i = 0; i < n; ++i) {
            if (confidence[i] < threshold) continue;
            low = seen ? low : sorted[i];
            high = sorted[i];
            seen = true;
        }
        RA_UNROLL
        for (int i = 0; i < n; ++i) hole |= confidence[i] < threshold && low < sorted[i] && sorted[i] < high;
    }
};

RA_KERNEL detect(RA_ROWS, const Compute* gaps, const Compute* bounds, int mode, double range, int intercept,
                 double scale_floor, double threshold, u8* rejected, Compute* median) {
    const int n = number(clients);
    const Judging rule = {gaps, bounds, intercept, 0, scale_floor};
    const Compute least = static_cast<Compute>(threshold);
    const i64 bytes = (d + 7) / 8;
    RA_EACH(j, (d + together - 1) / together * together) {
        const i64 own = j < d ? j : d - 1;  // a warp stays together
        Compute v[capacity], confidence[capacity];
        if (!load(rows, n, own, v)) *odd = 1;
        const Rescale rescale = rescale_of(v, n, mode, range);
        RA_UNROLL
        for (int i = 0; i < n; ++i) v[i] = rescale(v[i]);
        sort(v, n);
        if (n >= 3) judge(v, n, Column(v, n), rule, confidence);
        const Accepted accepted(v, confidence, n, least);
        for (int i = 0; i < n; ++i) {
            const Compute value = rescale(widened(rows[i][own]));
            bool out = value < accepted.low || value > accepted.high;
            if (accepted.hole && !out) out = of_value(value, v, confidence, n) < least;
            put_bit(rejected + i * bytes, j, d, out);
        }
        if (j < d) median[j] = halfway(v[(n - 1) / 2], v[n / 2]) + Compute(0);
    }
}

RA_KERNEL count_rejections(RA_ROWS, const u8* rejected, i64* counts) {
    const i64 bytes = (d + 7) / 8;
    for (int i = 0; i < clients; ++i) {
        i64 sum = 0;
        RA_EACH(k, bytes) sum += ones(rejected[i * bytes + k]);
        add_to(counts + i, sum);
    }
}
