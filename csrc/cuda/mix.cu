// A matrix (m, n) times the rows, each sum in double and client order.
#include "cuda/order.cuh"

RA_KERNEL mix(RA_ROWS, const double* matrix, int m, Compute* out) {
    const int n = number(clients);
    RA_EACH(j, d) {
        Compute v[capacity];
        if (!load(rows, n, j, v)) *odd = 1;
        double size = 0;
        if (!single)
            for (int i = 0; i < n; ++i) size = upper(size, static_cast<double>(absolute(v[i])));
        const double unit = unit_for(size);
        for (int r = 0; r < m; ++r) {
            double sum = 0;
            RA_UNROLL
            for (int i = 0; i < n; ++i) sum += matrix[r * n + i] * (v[i] * unit);
            out[r * d + j] = result_of(sum / unit);
        }
    }
}
