// The weighted mean of rescaled values, each rejected one replaced by the median, in double and client order.
#include "cuda/line.cuh"

RA_KERNEL rectified_mean(RA_ROWS, const u8* rejected, const Compute* median, const double* weights, int mode,
                         double range, Compute* out) {
    const int n = number(clients);
    const i64 bytes = (d + 7) / 8;
    RA_EACH(j, d) {
        Compute v[capacity];
        if (!load(rows, n, j, v)) *odd = 1;
        const Rescale rescale = rescale_of(v, n, mode, range);
        double sum = 0;
        RA_UNROLL
        for (int i = 0; i < n; ++i)
            sum += weights[i] * (rejected[i * bytes + j / 8] >> j % 8 & 1 ? median[j] : rescale(v[i]));
        out[j] = result_of(sum);
    }
}
