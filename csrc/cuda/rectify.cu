// The rescaled values, the rejected ones replaced by the median.
#include "cuda/line.cuh"

RA_KERNEL rectify(RA_ROWS, const u8* rejected, const Compute* median, int mode, double range, Compute* out) {
    const int n = number(clients);
    const i64 bytes = (d + 7) / 8;
    RA_EACH(j, d) {
        Compute v[capacity];
        if (!load(rows, n, j, v)) *odd = 1;
        const Rescale rescale = rescale_of(v, n, mode, range);
        RA_UNROLL
        for (int i = 0; i < n; ++i)
            out[i * d + j] = rejected[i * bytes + j / 8] >> j % 8 & 1 ? median[j] : rescale(v[i]);
    }
}
