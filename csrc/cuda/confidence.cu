// The confidence of each value: steps A.1 to A.7 of the reputation rule.
#include "cuda/line.cuh"

RA_KERNEL confidence(RA_ROWS, const Compute* gaps, const Compute* bounds, int mode, double range, int intercept,
                     double scale_floor, Compute* out) {
    const int n = number(clients);
    const Judging rule = {beside(gaps, n), bounds, intercept, 0, scale_floor};
    RA_EACH(j, d) {
        Compute v[capacity], found[capacity];
        if (!load(rows, n, j, v)) *odd = 1;
        const Rescale rescale = rescale_and_sort(v, n, mode, range);
        if (n >= 3) judge(v, n, Column(v, n), rule, found);
        for (int i = 0; i < n; ++i)
            out[i * d + j] = n < 3 ? Compute(1) : of_value(rescale(widened(rows[i][j])), v, found, n);
    }
}
