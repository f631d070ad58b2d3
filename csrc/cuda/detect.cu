// Part A of the reputation rule: a bit for each value whose confidence is below the threshold, and the median of each
// rescaled column, a zero being positive. Rejections are counted by a second pass over the bits.
#include "cuda/line.cuh"

// Few rows are held as they were sent; others are read again.
constexpr bool held = capacity <= 16;

RA_KERNEL detect(RA_ROWS, const Compute* gaps, const Compute* bounds, int mode, double range, int intercept,
                 double scale_floor, double threshold, u8* rejected, Compute* median) {
    const int n = number(clients);
    const Judging rule = {beside(gaps, n), bounds, intercept, 0, scale_floor};
    const i64 bytes = (d + 7) / 8;
    RA_EACH(j, (d + together - 1) / together * together) {
        const i64 own = j < d ? j : d - 1;  // a warp stays together
        Compute v[capacity], spare[capacity], sent[held ? capacity : 1];
        if (!load(rows, n, own, v)) *odd = 1;
        if constexpr (held) {
            RA_UNROLL
            for (int i = 0; i < n; ++i) sent[i] = v[i];
        }
        const Rescale rescale = rescale_and_sort(v, n, mode, range);
        Accepted accepted = {v[0], v[n - 1], false};
        if (n >= 3) {
            const Residuals residuals(Column(v, n), n, rule, spare);
            accepted = accepted_of(v, spare, n, bounds, residuals.tau, static_cast<Compute>(threshold));
        }
        RA_UNROLL_FEWEST
        for (int i = 0; i < n; ++i) {
            const Compute value = rescale(held ? sent[i] : widened(rows[i][own]));
            bool out = !accepted.holds(value);
            if (accepted.hole) out |= of_value(value, v, spare, n) < 0;
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
        add_of_all(counts + i, sum);
    }
}
