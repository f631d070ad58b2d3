// The rows' sum with weights that sum to 1, in double and client order. One reading of the rows, of doubles two.
#include "cuda/order.cuh"

RA_KERNEL weighted_mean(RA_ROWS, const double* weights, Compute* out) {
    RA_EACH(j, d) {
        double size = 0, sum = 0;
        if (!single)
            for (int i = 0; i < clients; ++i) size = upper(size, static_cast<double>(absolute(widened(rows[i][j]))));
        const double unit = unit_for(size);
        Compute nothing = 0;
        for (int i = 0; i < clients; ++i) {
            const Compute v = widened(rows[i][j]);
            nothing += v - v;
            sum += weights[i] * (v * unit);
        }
        if (nothing != 0) *odd = 1;
        out[j] = result_of(sum / unit);
    }
}
