// The coordinate-wise mean without the k lowest and k highest values.
#include "cuda/order.cuh"

RA_KERNEL trimmed_mean(RA_ROWS, int k, Compute* out) {
    const int n = number(clients);
    RA_EACH(j, d) {
        Compute v[capacity];
        if (!load(rows, n, j, v)) *odd = 1;
        sort(v, n);
        out[j] = mean_of_ranks(v, n, k, n - k);
    }
}
